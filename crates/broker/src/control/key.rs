//! SSH keys that the command line has written down or revoked.

use sluice_identity::SshKeys as _;
use sluice_kernel::clock;
use sluice_model::TokenId;
use sluice_store::{SshKeyRow, SshKeys as _};

use super::Answer;
use super::answer::broken;
use super::server::Desk;

impl Desk {
    /// Whether a key signs in, as of now: whoever wrote it down or revoked it need not wait for the broker's next look.
    pub(super) async fn key(&self, id: &TokenId) -> Answer {
        if !self.nudge.read().await {
            return Answer::refused("the broker's store could not be read; its log says why");
        }
        match self.store.ssh_key(id).await {
            Ok(row) => Answer::Key { signs_in: row.is_some_and(|row| self.signs_in(&row)) },
            Err(error) => broken(&error),
        }
    }

    fn signs_in(&self, row: &SshKeyRow) -> bool {
        let id = &row.principal.token;
        let found = self.ssh_logins.find(&row.key);
        let counts = found.is_some_and(|found| found.token == *id && clock::now() < found.expires);
        counts && !self.kernel.identify().is_revoked(id)
    }
}
