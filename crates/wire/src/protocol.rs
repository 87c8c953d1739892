//! A protocol as the broker registers it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::de::DeserializeOwned;
use sluice_model::{Schema, Tag, TargetName};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{Broker, FlowError, Gone, Peer};

/// A byte stream of any transport.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An accepted connection.
pub struct Io {
    pub stream: Box<dyn Stream>,
    pub peer: Peer,
    /// Tells of a client that sends nothing more, before all that it sent is read.
    pub hung_up: HungUp,
    /// Ends when the broker takes nothing new any more: a connection without work in hand closes.
    pub ending: Ending,
}

/// A look at a connection: whether its peer sends nothing more, whatever is still to be read of it.
#[derive(Clone, Default)]
pub struct HungUp(Option<Arc<dyn Fn() -> Sight + Send + Sync>>);

/// What such a look finds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sight {
    /// Nothing says that the peer sends nothing more.
    There,
    /// What it sent could not be looked behind, or not yet.
    Hidden,
    /// It sends nothing more.
    Gone,
}

impl HungUp {
    /// Looks by a function that does not wait. The default never finds out.
    pub fn new(look: impl Fn() -> Sight + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(look)))
    }

    /// Whether the peer is known to send nothing more.
    #[must_use]
    pub fn look(&self) -> Sight {
        self.0.as_ref().map_or(Sight::There, |look| look())
    }

    /// The same as an end of a connection knows it, which is otherwise in order.
    #[must_use]
    pub fn gone(&self, hung_up: Gone) -> Option<Gone> {
        match self.look() {
            Sight::There => None,
            Sight::Hidden => Some(Gone::Hidden),
            Sight::Gone => Some(hung_up),
        }
    }
}

impl fmt::Debug for HungUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HungUp").finish_non_exhaustive()
    }
}

/// A future that ends when the broker begins to stop.
pub type Ending = Pin<Box<dyn Future<Output = ()> + Send>>;

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// A protocol's half of every target that speaks it; replaced as a whole on reload.
#[derive(Debug)]
pub struct Targets<T>(BTreeMap<TargetName, Arc<T>>);

impl<T> Targets<T> {
    /// The half of one target; the same `None` for one that is missing and one of another protocol.
    #[must_use]
    pub fn get(&self, name: &TargetName) -> Option<&Arc<T>> {
        self.0.get(name)
    }

    /// Every target, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&TargetName, &Arc<T>)> {
        self.0.iter()
    }
}

impl<T> FromIterator<(TargetName, Arc<T>)> for Targets<T> {
    fn from_iter<I: IntoIterator<Item = (TargetName, Arc<T>)>>(targets: I) -> Self {
        Self(targets.into_iter().collect())
    }
}

/// Something `sluice check` found out about a target.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Finding {
    /// What was resolved, for the reader.
    Resolved(String),
    /// The target could not be asked, so this could not be checked.
    Unchecked(String),
    /// The configuration cannot be enforced.
    Wrong(String),
}

/// A protocol's half of a target's configuration.
pub trait Configured: DeserializeOwned + Send + Sync + 'static {
    /// Makes paths relative to the folder of the configuration.
    fn relative_to(&mut self, folder: &Path);

    /// Everything that is wrong with it that its shape does not show, in words and without asking anybody.
    fn mistakes(&self) -> Vec<String>;

    /// The tags that it puts on resources; none where it has mistakes.
    fn tags(&self) -> BTreeSet<Tag>;

    /// Everything of a kind that there can be at the target, by its name; `None` where the configuration does not tell.
    fn names(&self, kind: &str) -> Option<BTreeSet<String>> {
        let _nobody_knows = kind;
        None
    }
}

/// One wire protocol.
pub trait Protocol: Send + Sync + 'static {
    /// Its name in configuration, logs and recordings.
    const NAME: &'static str;
    /// Its verbs, resources and facts: policies are checked against it when they load.
    const SCHEMA: Schema;
    /// Its half of a target's configuration.
    type Target: Configured;

    /// Is told of the targets whenever they are set up, before the first connection is served with them: what takes
    /// long to make is made now, or begun.
    fn set_up(&self, _targets: &Targets<Self::Target>) {}

    /// Serves one accepted connection to its end: sign-in, dial, carry. `targets` changes with the configuration:
    /// every flow begins with those of its own beginning.
    fn serve<B: Broker>(
        &self,
        io: Io,
        targets: &ArcSwap<Targets<Self::Target>>,
        broker: &B,
    ) -> impl Future<Output = Result<(), FlowError>> + Send;
}
