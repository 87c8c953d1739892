//! Tables of cases: who asks for what, and which ruling a pack of policies must give.
//!
//! One case a line, `WHO @ ENV/TARGET | OPERATION | RULING`; `#` starts a comment. Before the cases may stand:
//!
//! ```text
//! packs: pii.cedar read-only.cedar     the policies to load; the first is the one under test
//! facts: parsed=true stmt.kind=select  facts of every operation that does not say otherwise, or of one group's
//! tag: public.customers.email pii.contact.email      the classes of a thing, for `reveal` and `filter`
//! ```
//!
//! - `ENV/TARGET` may be followed by a part of the target, such as a database: `prod/shop/stock`.
//! - `WHO`: `user:alice in analysts,staff`, `workload:ci in deployers`, `agent:bot in agents for user:alice in analysts`.
//! - `OPERATION`: accesses `sql.read public.customers, sql.call public.f`, then parts after semicolons: facts
//!   `kind=delete has_where=false functions=a,b`; `reveal PATH [TAGS]`, `filter PATH [TAGS]`; `reveal Value:pii.contact` for a value that was
//!   found, `disclose TAGS` for values that flow to the target;
//!   `approved count=1 [expired] [changed]`; `at weekday=6 minute=1320`; `client 10.0.0.1`; `prepare`; `unparsed`.
//!   A path may start with its kind, `Function:public.f`. `approve`, `replay`, `kill` and `admin` ask for the product's
//!   own verbs at the target.
//! - `RULING`: `allow`, `deny RULE`, `hold RULE`, or `masks PATH=redact PATH=partial(keep_last=4)`, an allow with exactly
//!   these masks; a value that may be filtered on unseen is `PATH=redact+filter`, one that was found
//!   `Value:pii.contact=redact`. Then, after semicolons, `withheld pii.contact=redact secret=token`, exactly what the
//!   target is not sent as it is: nothing, where it is left out. `limits max_rows=100 max_bytes=1 timeout_ms=1` and
//!   `budgets RULE=requests:60/1m RULE=cost:5.00/1d/owner` are exactly these; left out, they are not looked at.

mod parse;
mod ruling;
mod run;

pub use run::{Failure, Report, packs, run};
