//! The API of OpenAI, and what is compatible with it: routes, requests, answers, calls of tools.

mod ask;
mod batch;
mod called;
mod contexts;
mod deferred;
mod estimate;
mod expect;
mod hosted;
mod images;
mod made;
mod multipart;
mod owned;
mod pages;
mod parts;
mod programs;
mod request;
mod resume;
mod routes;
mod rules;
mod screen;
mod tools;
mod traces;

pub(crate) use deferred::{Allowed, Asker, Deferred, Found, Held, Later, Whole};
pub(crate) use expect::{Expectation, Glass};
pub(crate) use parts::Parts;
pub(crate) use programs::wrote;
pub(crate) use request::{prepare, read};
pub(crate) use rules::Rules;
