//! What principals have made at a target through a credential that they share.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// Something that was made at a target and has an id there: a file, a stored response.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Object {
    /// What it is, in the words of its protocol.
    pub class: String,
    pub id: String,
}

/// An object that a principal made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Made {
    pub object: Object,
    /// How many days it is remembered whose it is, where its target does not keep it for good.
    pub days: Option<u16>,
}

/// Whose an object is, as one principal is told.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Owner {
    /// The principal's own.
    Own,
    /// Somebody else's.
    Other,
    /// It was not made through the broker.
    Nobody,
}

/// The owners could not be looked up or written down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unknown;

/// A future behind a trait object.
pub type Looking<T> = Pin<Box<dyn Future<Output = Result<T, Unknown>> + Send>>;

/// Who made what at the target of a grant, as its principal asks.
pub trait Objects: Send + Sync {
    /// Writes down that the principal made these; what has an owner keeps it.
    fn claim(&self, made: Vec<Made>) -> Looking<()>;

    /// Whose each of them is, in the same order.
    fn owners(&self, objects: Vec<Object>) -> Looking<Vec<Owner>>;
}

impl fmt::Debug for dyn Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Objects")
    }
}

/// Nobody makes anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObjects;

impl Objects for NoObjects {
    fn claim(&self, _: Vec<Made>) -> Looking<()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn owners(&self, objects: Vec<Object>) -> Looking<Vec<Owner>> {
        Box::pin(std::future::ready(Ok(vec![Owner::Nobody; objects.len()])))
    }
}
