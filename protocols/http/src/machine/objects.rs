//! Errands of an exchange: whose objects are, and whose new ones are going to be.

use std::sync::{Arc, Mutex, PoisonError};

use sluice_model::{Code, OpId, Refusal};
use sluice_wire::{Made, Object, Outbox, Owner, Unknown};

use super::{HttpMachine, Rest, State};
use crate::flaw::Flaw;
use crate::frame::Frame;
use crate::refusal::Words;
use crate::request::Prepared;
use crate::target::Objects as Whose;

impl HttpMachine {
    /// Asks, once every object that the request names is known to be the client's.
    pub(super) fn consider(&mut self, prepared: Prepared, out: &mut Outbox<Frame>) {
        if self.served.objects == Whose::Shared || prepared.objects.is_empty() {
            return self.ask(prepared, out);
        }
        self.look_up(prepared.objects.clone(), out);
        self.state = State::Looking(Box::new(prepared));
    }

    pub(super) fn look_up(&self, objects: Vec<Object>, out: &mut Outbox<Frame>) {
        let (looking, errand) = (self.objects.owners(objects), Arc::clone(&self.errand));
        out.errand(async move { put(&errand, Found::Owners(looking.await)) });
    }

    pub(super) fn write_down(&self, objects: Vec<Object>, out: &mut Outbox<Frame>) {
        let made = objects.into_iter().map(|object| Made { days: days(&object.class), object }).collect();
        let (claiming, errand) = (self.objects.claim(made), Arc::clone(&self.errand));
        out.errand(async move { put(&errand, Found::Claimed(claiming.await)) });
    }

    pub(super) fn returned(&mut self, out: &mut Outbox<Frame>) {
        let found = self.errand.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (std::mem::replace(&mut self.state, State::Over), found) {
            (State::Looking(prepared), Some(Found::Owners(Ok(owners)))) => {
                if owners.iter().all(|owner| *owner == Owner::Own) {
                    self.ask(*prepared, out);
                } else {
                    self.refuse(OpId::CONNECT, &no_such_object(), out);
                }
            }
            (State::Looking(_), _) => self.refuse(OpId::CONNECT, &unknown_owner(), out),
            (State::Sent(mut sent), _) if sent.errand && sent.rest == Rest::Alone => {
                sent.errand = false;
                self.state = State::Sent(sent);
            }
            (State::Sent(mut sent), found) if sent.errand => {
                sent.errand = false;
                let known = match found {
                    Some(Found::Owners(Ok(owners))) => {
                        sent.answer.told(&owners);
                        true
                    }
                    Some(Found::Claimed(Ok(()))) => {
                        sent.answer.claimed();
                        true
                    }
                    Some(Found::Owners(Err(_)) | Found::Claimed(Err(_))) | None => false,
                };
                self.state = State::Sent(sent);
                if known { self.pump(out) } else { self.give_up(&unknown_owner(), out) }
            }
            (state @ (State::Silent | State::Reading(_) | State::Asked { .. } | State::Sent(_) | State::Over), _) => {
                self.state = state;
            }
        }
    }
}

/// How long it is remembered whose an object is that a target does not keep for good
/// (<https://platform.openai.com/docs/guides/your-data>: responses and completions are kept for 30 days, containers until
/// nobody uses them for 20 minutes). Afterwards it is nobody's, as if it were gone.
fn days(class: &str) -> Option<u16> {
    match class {
        "completion" | "item_reference" | "response" => Some(90),
        "container" => Some(30),
        _ => None,
    }
}

/// What an errand is for.
#[derive(Clone, Copy)]
pub(super) enum Errand {
    Claim,
    Look,
}

/// What an errand came back with.
pub(super) enum Found {
    Owners(Result<Vec<Owner>, Unknown>),
    Claimed(Result<(), Unknown>),
}

fn put(errand: &Mutex<Option<Found>>, found: Found) {
    *errand.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
}

/// Somebody else's object and one that is not there read the same.
fn no_such_object() -> Words {
    Words::of_flaw(Flaw::new(404, "not_found", "there is no such object"))
}

fn unknown_owner() -> Words {
    Words::of(&Refusal::builtin(Code::Unavailable, "object-owner", "it cannot be told whose the objects are"))
}
