//! Notifications, which may carry what a trigger has put into them.
//!
//! Nobody can tell what columns a payload was made of: where columns are tagged it is shown only on channels of which every class
//! may be seen (<https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-ASYNC>).

use std::collections::HashMap;

use bytes::{BufMut as _, Bytes};
use sluice_model::{Mask, Obligations, OpId};
use sluice_sql::{Analysis, Object, Verb};
use sluice_wire::{Lapse, Outbox, Violation};

use super::{PostgresMachine, requests};
use crate::frame::{Fields, Frame};
use crate::message::put_cstr;
use crate::schema;

/// The channels whose payloads may be shown, each by the operation that was allowed so.
#[derive(Debug, Default)]
pub(super) struct Channels(HashMap<Bytes, OpId>);

impl Channels {
    /// Forgets what an allow stood for that counts no longer: such channels are listened to anew.
    pub(super) fn lapse(&mut self, lapse: Lapse) {
        match lapse {
            Lapse::Everything => self.0.clear(),
            Lapse::Operation(op) => self.0.retain(|_, by| *by != op),
        }
    }
}

/// Whether a mask is due on the payloads of a channel, and not on a column.
pub(super) fn is_of_channel(mask: &Mask) -> bool {
    mask.resource.kind == schema::CHANNEL
}

impl PostgresMachine {
    /// Notes what may be heard on the channels that an allowed statement names.
    pub(super) fn listen(&mut self, op: OpId, analysis: &Analysis, obligations: &Obligations) {
        for access in &analysis.accesses {
            let (Verb::Listen, Object::Channel(name)) = (access.verb, &access.object) else { continue };
            let masked = |mask: &Mask| is_of_channel(mask) && mask.resource.path.iter().eq([name]);
            let channels = &mut self.channels.0;
            if obligations.masks.iter().any(masked) || channels.len() >= requests::MAX_NAMES {
                channels.remove(name.as_bytes());
            } else {
                channels.insert(Bytes::copy_from_slice(name.as_bytes()), op);
            }
        }
    }

    /// A session that ends because its target is configured otherwise knows no tags that count.
    fn is_heard(&self, channel: &[u8]) -> bool {
        let free = || !self.schemas.view().is_tagged() || self.channels.0.contains_key(channel);
        !self.tenure.is_over() && free()
    }

    /// **Shape:** `process u32 · channel cstr · payload cstr`
    pub(super) fn notified(&self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let mut fields = Fields::of_server(frame.body());
        let (process, channel, payload) = (fields.u32()?, fields.cstr()?, fields.cstr()?);
        fields.end()?;
        let shown = payload.is_empty() || self.is_heard(channel);
        let frame = if shown {
            frame
        } else {
            Frame::build(b'A', |out| {
                out.put_u32(process);
                put_cstr(out, channel);
                put_cstr(out, b"");
            })
        };
        out.to_client(OpId::CONNECT, frame);
        Ok(())
    }
}
