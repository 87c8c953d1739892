//! Names that a connection gives to statements and portals, in the order in which the server will see them.
//!
//! A change that is under way may still fail. Within one batch (up to `Sync`, or one simple query) that does not matter:
//! if it fails, PostgreSQL skips what follows it. A later batch runs all the same, so a name with a change under way
//! from an earlier one is *unsettled*: nobody may say what it stands for until the server has answered.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

/// One change under way.
#[derive(Clone, Debug)]
pub(crate) enum Change<T> {
    Define(Bytes, T),
    Forget(Bytes),
    ForgetAll,
}

/// The ticket of a change under way; larger is later.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Ticket(u64);

/// A run of messages that the server skips together once one of them fails.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Batch(pub(crate) u64);

/// What a name stands for.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Found<'a, T> {
    Known(&'a T),
    Unknown,
    /// It depends on answers that have not come yet.
    Unsettled,
}

/// A table of names.
#[derive(Debug)]
pub(crate) struct Names<T> {
    confirmed: HashMap<Bytes, T>,
    under_way: VecDeque<(Ticket, Batch, Change<T>)>,
    /// The newest change under way of each name, `None` for forgotten; absent where nothing is under way.
    newest: HashMap<Bytes, (Ticket, Batch, Option<T>)>,
    forgot_all: Option<(Ticket, Batch)>,
    next: u64,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self {
            confirmed: HashMap::new(),
            under_way: VecDeque::new(),
            newest: HashMap::new(),
            forgot_all: None,
            next: 0,
        }
    }
}

impl<T: Clone> Names<T> {
    /// What a name stands for in a message of this batch.
    pub(crate) fn find(&self, name: &[u8], batch: Batch) -> Found<'_, T> {
        let value = match (self.newest.get(name), self.forgot_all) {
            (Some((_, of, value)), _) if *of == batch => value.as_ref(),
            (None, Some((_, of))) if of == batch => None,
            (None, None) => self.confirmed.get(name),
            (Some(_), _) | (None, Some(_)) => return Found::Unsettled,
        };
        value.map_or(Found::Unknown, Found::Known)
    }

    /// Names in use, confirmed or under way.
    pub(crate) fn len(&self) -> usize {
        self.confirmed.len().saturating_add(self.under_way.len())
    }

    /// Whether any name may stand for such a value, whatever becomes of what is under way.
    pub(crate) fn any(&self, test: impl Fn(&T) -> bool) -> bool {
        let under_way =
            self.under_way.iter().any(|(_, _, change)| matches!(change, Change::Define(_, value) if test(value)));
        under_way || self.confirmed.values().any(test)
    }

    /// Notes that a message with this change is being sent.
    pub(crate) fn send(&mut self, change: Change<T>, batch: Batch) -> Ticket {
        let ticket = Ticket(self.next);
        self.next = self.next.wrapping_add(1);
        self.overlay(ticket, batch, &change);
        self.under_way.push_back((ticket, batch, change));
        ticket
    }

    fn overlay(&mut self, ticket: Ticket, batch: Batch, change: &Change<T>) {
        match change {
            Change::Define(name, value) => {
                self.newest.insert(name.clone(), (ticket, batch, Some(value.clone())));
            }
            Change::Forget(name) => {
                self.newest.insert(name.clone(), (ticket, batch, None));
            }
            Change::ForgetAll => {
                self.newest.clear();
                self.forgot_all = Some((ticket, batch));
            }
        }
    }

    /// The server did what the change was sent with. Gives back the value that it replaced.
    pub(crate) fn confirm(&mut self, ticket: Ticket) -> Vec<T> {
        let Some(index) = self.under_way.iter().position(|(at, ..)| *at == ticket) else { return Vec::new() };
        let Some((_, _, change)) = self.under_way.remove(index) else { return Vec::new() };
        let name = match &change {
            Change::Define(name, _) | Change::Forget(name) => Some(name.clone()),
            Change::ForgetAll => None,
        };
        let replaced = match change {
            Change::Define(name, value) => self.confirmed.insert(name, value).into_iter().collect(),
            Change::Forget(name) => self.confirmed.remove(&name).into_iter().collect(),
            Change::ForgetAll => self.confirmed.drain().map(|(_, value)| value).collect(),
        };
        match name {
            Some(name) if self.newest.get(&name).is_some_and(|(at, ..)| *at == ticket) => {
                self.newest.remove(&name);
            }
            None if self.forgot_all.is_some_and(|(at, _)| at == ticket) => self.forgot_all = None,
            Some(_) | None => {}
        }
        replaced
    }

    /// The server failed these changes, or will never see them. Gives back what they would have defined.
    pub(crate) fn fail(&mut self, tickets: &[Ticket]) -> Vec<T> {
        if tickets.is_empty() {
            return Vec::new();
        }
        let (failed, left): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.under_way).into_iter().partition(|(at, ..)| tickets.contains(at));
        self.newest.clear();
        self.forgot_all = None;
        for (ticket, batch, change) in &left {
            self.overlay(*ticket, *batch, change);
        }
        self.under_way = left;
        let defined = failed.into_iter().filter_map(|(_, _, change)| match change {
            Change::Define(_, value) => Some(value),
            Change::Forget(_) | Change::ForgetAll => None,
        });
        defined.collect()
    }

    /// Changes what a name stands for, and what it will once changes under way are confirmed.
    pub(crate) fn amend(&mut self, name: &[u8], change: impl Fn(&mut T)) {
        let under_way = self.under_way.iter_mut().filter_map(|(_, _, change)| match change {
            Change::Define(defined, value) if *defined == name => Some(value),
            Change::Define(..) | Change::Forget(_) | Change::ForgetAll => None,
        });
        let newest = self.newest.get_mut(name).and_then(|(_, _, value)| value.as_mut());
        self.confirmed.get_mut(name).into_iter().chain(newest).chain(under_way).for_each(change);
    }

    /// Forgets every confirmed name but those to keep (portals, when a transaction ends). Gives back their values.
    pub(crate) fn forget_confirmed(&mut self, keep: impl Fn(&T) -> bool) -> Vec<T> {
        self.confirmed.extract_if(|_, value| !keep(value)).map(|(_, value)| value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Batch = Batch(1);
    const LATER: Batch = Batch(2);

    fn define(name: &'static str, value: u8) -> Change<u8> {
        Change::Define(Bytes::from_static(name.as_bytes()), value)
    }

    fn forget(name: &'static str) -> Change<u8> {
        Change::Forget(Bytes::from_static(name.as_bytes()))
    }

    #[test]
    fn within_a_batch_a_name_counts_from_when_it_is_sent() {
        let mut names = Names::default();
        let one = names.send(define("a", 1), NOW);
        assert_eq!(names.find(b"a", NOW), Found::Known(&1));
        let gone = names.send(forget("a"), NOW);
        assert_eq!(names.find(b"a", NOW), Found::Unknown);
        let two = names.send(define("a", 2), NOW);
        assert_eq!(names.find(b"a", NOW), Found::Known(&2));
        for ticket in [one, gone, two] {
            names.confirm(ticket);
        }
        assert_eq!(names.find(b"a", LATER), Found::Known(&2));
    }

    #[test]
    fn in_a_later_batch_a_name_is_unsettled_until_the_server_has_answered() {
        let mut names = Names::default();
        let one = names.send(define("a", 1), NOW);
        assert_eq!(names.find(b"a", LATER), Found::Unsettled);
        assert_eq!(names.find(b"b", LATER), Found::Unknown);
        names.fail(&[one]);
        assert_eq!(names.find(b"a", LATER), Found::Unknown);
        let all = names.send(Change::ForgetAll, NOW);
        assert_eq!(names.find(b"b", LATER), Found::Unsettled);
        names.confirm(all);
        assert_eq!(names.find(b"b", LATER), Found::Unknown);
    }

    #[test]
    fn a_failed_change_is_as_if_it_had_never_been_sent() {
        let mut names = Names::default();
        let one = names.send(define("a", 1), NOW);
        names.confirm(one);
        let gone = names.send(forget("a"), NOW);
        let two = names.send(define("a", 2), NOW);
        assert_eq!(names.fail(&[gone, two]), vec![2]);
        assert_eq!(names.find(b"a", LATER), Found::Known(&1));
    }

    #[test]
    fn what_a_name_stands_for_is_changed_wherever_it_is_noted() {
        let mut names = Names::default();
        let one = names.send(define("a", 1), NOW);
        names.confirm(one);
        names.send(define("b", 1), NOW);
        let two = names.send(define("a", 2), NOW);
        names.amend(b"a", |value| *value += 10);
        assert_eq!(names.find(b"a", NOW), Found::Known(&12));
        assert_eq!(names.find(b"b", NOW), Found::Known(&1));
        assert_eq!(names.confirm(two), vec![11]);
        assert_eq!(names.find(b"a", LATER), Found::Known(&12));
    }

    #[test]
    fn forgetting_all_hides_what_was_confirmed_and_not_what_comes_later() {
        let mut names = Names::default();
        let one = names.send(define("a", 1), NOW);
        names.confirm(one);
        let all = names.send(Change::ForgetAll, NOW);
        assert_eq!(names.find(b"a", NOW), Found::Unknown);
        let two = names.send(define("b", 2), NOW);
        assert_eq!(names.confirm(all), vec![1]);
        assert_eq!(names.find(b"a", NOW), Found::Unknown);
        assert_eq!(names.find(b"b", NOW), Found::Known(&2));
        names.fail(&[two]);
        assert_eq!(names.find(b"b", NOW), Found::Unknown);
    }
}
