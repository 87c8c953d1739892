//! The conditions of a policy: what they read, and the clauses they are made of.

use std::sync::Arc;

use cedar_policy::pst::{
    ActionConstraint, BinaryOp, Clause as Condition, Effect, Expr, Policy as Tree, PolicyID, PrincipalConstraint,
    ResourceConstraint, SmolStr, StaticPolicy, Template, UnaryOp, Var,
};
use cedar_policy::{Policy, PolicySet};

/// The part of the context that may differ between two askings of one operation.
const BASE: &str = "base";

/// One conjunct of a permit's conditions, ready to be asked on its own.
#[derive(Clone, Debug)]
pub(crate) struct Clause {
    /// The conjunct in Cedar's syntax.
    pub(crate) text: String,
    /// A permit with this conjunct as its only condition; a set without policies permits nothing.
    pub(crate) alone: PolicySet,
}

/// Whether a policy reads the time, the session, the client, the stage or an approval: a ruling of such a policy is
/// never cached. Anything but `context.<facts>` counts.
pub(crate) fn volatile(body: &Template) -> bool {
    body.clauses().iter().any(|clause| match clause {
        Condition::When(expr) | Condition::Unless(expr) => reads_base(expr),
    })
}

fn reads_base(expr: &Expr) -> bool {
    match expr {
        Expr::GetAttr { expr, attr } if is_context(expr) => attr == BASE,
        Expr::HasAttr { expr, attrs } if is_context(expr) => attrs.first() == BASE,
        Expr::Var(Var::Context) | Expr::Unknown { .. } => true,
        Expr::Literal(_) | Expr::Var(_) | Expr::Slot(_) => false,
        Expr::GetAttr { expr, .. }
        | Expr::HasAttr { expr, .. }
        | Expr::Like { expr, .. }
        | Expr::UnaryOp { expr, .. } => reads_base(expr),
        Expr::BinaryOp { left, right, .. } => reads_base(left) || reads_base(right),
        Expr::Is { expr, in_expr, .. } => reads_base(expr) || in_expr.as_deref().is_some_and(reads_base),
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            reads_base(cond) || reads_base(then_expr) || reads_base(else_expr)
        }
        Expr::Set(items) => items.iter().any(|item| reads_base(item)),
        Expr::Record(fields) => fields.values().any(|field| reads_base(field)),
        // Cedar may grow expressions: one that is not known here reads everything.
        _ => true,
    }
}

fn is_context(expr: &Expr) -> bool {
    matches!(expr, Expr::Var(Var::Context))
}

/// Splits the conditions at `&&`. An `unless` is a clause of its own, negated.
pub(crate) fn clauses(body: &Template) -> Vec<Clause> {
    let mut found = Vec::new();
    for condition in body.clauses() {
        match condition {
            Condition::When(expr) => conjuncts(expr, &mut found),
            Condition::Unless(expr) => found.push(Arc::new(Expr::UnaryOp { op: UnaryOp::Not, expr: expr.clone() })),
        }
    }
    found.into_iter().map(|expr| Clause { text: expr.to_string(), alone: alone(expr).unwrap_or_default() }).collect()
}

fn conjuncts(expr: &Arc<Expr>, out: &mut Vec<Arc<Expr>>) {
    if let Expr::BinaryOp { op: BinaryOp::And, left, right } = &**expr {
        conjuncts(left, out);
        conjuncts(right, out);
    } else {
        out.push(expr.clone());
    }
}

fn alone(expr: Arc<Expr>) -> Option<PolicySet> {
    let head = Template::new(
        PolicyID(SmolStr::from("clause")),
        Effect::Permit,
        PrincipalConstraint::Any,
        ActionConstraint::Any,
        ResourceConstraint::Any,
    );
    let body = head.try_with_clauses([Condition::When(expr)]).ok()?;
    let policy = Policy::from_pst(Tree::Static(StaticPolicy::try_from(body).ok()?)).ok()?;
    PolicySet::from_policies([policy]).ok()
}
