//! Whose run it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use sluice_identity::{Identity, Keys, RevokedTokens, ScramLogins, SshLogins};
use sluice_kernel::clock;
use sluice_model::{Principal, RunId, Secret, TargetName, TokenId, Who};

use super::Arguments;
use crate::cli::token::{Subject, groups, seconds, target_names};
use crate::config::{self, Config};
use crate::logins;
use crate::paths::Paths;
use crate::world::{ITERATIONS, LIFETIMES};

/// Who a run is for, and the limits of it.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) who: Who,
    pub(super) targets: Option<BTreeSet<TargetName>>,
    pub(super) ttl_seconds: u32,
    /// The run that the caller is in already.
    pub(super) run: Option<RunId>,
    /// The token that the caller shows.
    pub(super) token: Option<TokenId>,
}

impl Caller {
    /// Whoever may read the keys in the data folder names anybody; a token names itself.
    pub(super) async fn of(config: &Config, paths: &Paths, arguments: &Arguments) -> Result<Self> {
        let targets = target_names(&arguments.targets)?;
        let ttl_seconds = seconds(&arguments.ttl)?;
        let token = arguments.token.as_deref().map(str::trim).filter(|token| !token.is_empty());
        let Some(token) = token else {
            let subject = Subject {
                user: arguments.user.clone().map_or_else(login_name, Ok)?,
                groups: arguments.groups.clone(),
                agent: arguments.agent.clone(),
                agent_groups: arguments.agent_groups.clone(),
                purpose: arguments.purpose.clone(),
            };
            return Ok(Self { who: subject.who()?, targets, ttl_seconds, run: None, token: None });
        };
        if arguments.user.is_some() || !arguments.groups.is_empty() {
            bail!(
                "a token (--token, SLUICE_TOKEN) says who the person is and in which groups: leave --user and --group out"
            );
        }
        let shown = authenticate(config, paths, Secret::from(token.to_owned())).await?;
        Self::within(shown, arguments, targets, ttl_seconds)
    }

    /// A run of a token's principal: for the same targets at most, and no longer than the token.
    fn within(
        shown: Principal,
        arguments: &Arguments,
        targets: Option<BTreeSet<TargetName>>,
        ttl_seconds: u32,
    ) -> Result<Self> {
        let left = shown.expires.seconds().saturating_sub(clock::now().seconds());
        let left = u32::try_from(left).unwrap_or(0);
        if left == 0 {
            bail!("the token has only a moment left: take a fresh one");
        }
        let targets = match (shown.targets, targets) {
            (Some(scope), Some(asked)) => {
                let both: BTreeSet<TargetName> = asked.intersection(&scope).cloned().collect();
                if both.is_empty() {
                    bail!("the token is for none of these targets");
                }
                Some(both)
            }
            (one, other) => one.or(other),
        };
        let who = match (shown.who, &arguments.agent) {
            (who, None) => who,
            (Who::User(owner), Some(name)) => {
                let named = &arguments.agent_groups;
                let own = if named.is_empty() { vec!["agents".to_owned()] } else { named.clone() };
                let purpose = arguments.purpose.clone();
                Who::Agent { name: name.clone(), purpose, groups: groups(&own)?, owner }
            }
            (Who::Agent { .. } | Who::Workload { .. }, Some(_)) => {
                bail!("an agent acts for a person, and this token is none of a person: leave --agent out")
            }
        };
        Ok(Self { who, targets, ttl_seconds: ttl_seconds.min(left), run: shown.run, token: Some(shown.token) })
    }
}

/// Believes a token as the broker would.
async fn authenticate(config: &Config, paths: &Paths, token: Secret) -> Result<Principal> {
    let keys = Keys::open(&paths.keys())?;
    let store = crate::cli::stored(paths).await?;
    let (revoked, known) = (Arc::new(RevokedTokens::default()), Arc::new(ScramLogins::default()));
    logins::catch_up(&store, &revoked, &known, &SshLogins::default(), &mut logins::Cursors::default()).await?;
    store.close().await;
    let identity = Identity::new(&keys, LIFETIMES, Vec::new(), ITERATIONS, revoked, known)?;
    identity.reload(config.issuers.clone()).map_err(|wrong| config::issuer_mistakes(&config.file, &wrong))?;
    let checked = identity.check_token(&token, clock::now()).await;
    checked.map_err(|error| anyhow::anyhow!("the token (--token, SLUICE_TOKEN) does not count: {error}"))
}

/// The name of whoever types. It grants nothing: naming anybody takes the keys in the data folder.
fn login_name() -> Result<String> {
    let named = ["LOGNAME", "USER"].into_iter().find_map(|name| std::env::var(name).ok());
    named
        .filter(|name| !name.is_empty())
        .context("nobody is named: give a person with --user, or a person's token in SLUICE_TOKEN")
}
