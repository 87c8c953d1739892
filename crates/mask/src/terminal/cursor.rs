//! In which column the cursor stands, so that a line which the screen wraps is read as one.

use super::head::Motion;

/// The distance between tab stops, as terminals start.
const TAB: usize = 8;

/// The cursor of a terminal with so many columns; none on a pipe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    columns: Option<usize>,
    column: usize,
    edge: Edge,
}

/// Whether the cursor went back from behind the last column.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Edge {
    No,
    /// Whether this is a wrap depends on what comes next.
    Returned,
}

/// What a control does to the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Effect {
    /// What is printed next goes on with it.
    Joins,
    /// It is this character.
    Reads(char),
}

impl Cursor {
    pub(super) const fn new(columns: Option<usize>) -> Self {
        Self { columns, column: 0, edge: Edge::No }
    }

    /// Puts the cursor into the first column.
    pub(super) const fn restart(&mut self) {
        (self.column, self.edge) = (0, Edge::No);
    }

    /// Takes another width.
    pub(super) fn resize(&mut self, columns: usize) {
        if self.columns.is_some() {
            self.columns = Some(columns);
            self.column = self.column.min(columns);
        }
    }

    pub(super) const fn has_columns(&self) -> bool {
        self.columns.is_some()
    }

    /// Whether a carriage return is still to be read as one.
    pub(super) const fn owes(&mut self) -> bool {
        let owes = matches!(self.edge, Edge::Returned);
        self.edge = Edge::No;
        owes
    }

    /// Prints characters of one cell.
    pub(super) fn print(&mut self, cells: usize) {
        let Some(columns) = self.columns.filter(|columns| *columns > 0) else { return };
        let sum = self.column.saturating_add(cells);
        self.column = if sum <= columns { sum } else { (sum.saturating_sub(1) % columns).saturating_add(1) };
    }

    /// Prints one character of some cells; a wide one is never split.
    pub(super) fn wide(&mut self, cells: usize) {
        let Some(columns) = self.columns else { return };
        let sum = self.column.saturating_add(cells);
        self.column = if sum <= columns { sum } else { cells };
    }

    /// Takes a control of the C0 set.
    pub(super) fn control(&mut self, byte: u8) -> Effect {
        let effect = match byte {
            b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => Effect::Reads(char::from(byte)),
            0x08 => Effect::Reads('\n'),
            _ => return Effect::Joins,
        };
        let Some(columns) = self.columns else { return effect };
        let returned = self.edge == Edge::Returned;
        match byte {
            b'\r' if returned || (self.column >= columns && columns > 0) => {
                (self.column, self.edge) = (0, Edge::Returned);
                return Effect::Joins;
            }
            b'\n' if returned => {
                self.edge = Edge::No;
                return Effect::Joins;
            }
            b'\r' => self.column = 0,
            b'\t' => {
                let stop = (self.column / TAB).saturating_add(1).saturating_mul(TAB);
                self.column = stop.min(columns.saturating_sub(1));
            }
            0x08 => self.column = self.column.min(columns).saturating_sub(1),
            _ => {}
        }
        effect
    }

    /// Takes a sequence that moves the cursor.
    pub(super) fn go(&mut self, motion: Motion) {
        let Some(columns) = self.columns else { return };
        let most = columns.saturating_sub(1);
        let wide = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        self.column = match motion {
            Motion::Stays => return,
            Motion::Right(count) => self.column.saturating_add(wide(count)).min(most),
            Motion::Left(count) => self.column.min(most).saturating_sub(wide(count)),
            Motion::To(column) => wide(column).saturating_sub(1).min(most),
            Motion::Column => self.column.min(most),
        };
    }
}
