//! Values in what a host says, covered as its policy has it.

use sluice_model::Obligations;

use crate::frame::{Frame, Size};

/// The screens of a target.
#[derive(Debug, Default)]
pub(crate) struct Screens;

/// Both streams of a channel.
#[derive(Debug)]
pub(crate) struct Pair;

impl Screens {
    pub(crate) fn of(_target: &crate::target::Target) -> Result<Self, String> {
        Ok(Self)
    }

    pub(crate) fn over(&self, _obligations: &Obligations, _terminal: Option<Size>) -> Pair {
        Pair
    }
}

impl Pair {
    pub(crate) fn stdout(&mut self, bytes: &[u8], mut show: impl FnMut(Frame)) {
        show(Frame::data(bytes));
    }
    pub(crate) fn stderr(&mut self, bytes: &[u8], mut show: impl FnMut(Frame)) {
        show(Frame::stderr(bytes));
    }
    pub(crate) fn quiet(&mut self, _show: impl FnMut(Frame)) {}
    pub(crate) fn finish(&mut self, _show: impl FnMut(Frame)) {}
    pub(crate) fn resize(&mut self, _size: Size) {}
}
