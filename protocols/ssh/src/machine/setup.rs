//! What a machine is made with.

use std::sync::Arc;

use sluice_model::UnixMicros;
use sluice_wire::Configured as _;

use crate::commands::Commands;
use crate::files::sftp;
use crate::operation::Scene;
use crate::screen::Screens;
use crate::target::Target;

/// A target as its channels see it, compiled once, and one login at it.
#[derive(Clone, Debug)]
pub struct Setup {
    pub(crate) target: Arc<Target>,
    pub(crate) commands: Arc<Commands>,
    pub(crate) screens: Arc<Screens>,
    pub(crate) files: Arc<sftp::Settings>,
    pub(crate) scene: Scene,
    /// What the time is.
    pub(crate) clock: fn() -> UnixMicros,
}

impl Setup {
    /// Compiles a target for a login.
    ///
    /// # Errors
    /// With the first mistake of the target, in words.
    pub fn new(target: Target, login: &str, clock: fn() -> UnixMicros) -> Result<Self, String> {
        Ok(Self {
            commands: Arc::new(Commands::of(&target)?),
            screens: Arc::new(Screens::of(&target)?),
            files: Arc::new(target.files()?),
            scene: Scene { login: login.into(), tags: Arc::new(target.tags()) },
            target: Arc::new(target),
            clock,
        })
    }
}
