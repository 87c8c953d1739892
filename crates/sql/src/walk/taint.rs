//! Sets of sensitive columns.

/// One sensitive column on its way through a statement.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Mark {
    /// Its index in [`crate::Sensitive`].
    pub(crate) column: u32,
    /// It came through a view, where it cannot be masked.
    pub(crate) through_view: bool,
    /// It went through an expression: whether it is NULL may depend on more than whether the column is.
    pub(crate) computed: bool,
    /// It is not certain that the value is the column: it may be a whole row, or another one.
    pub(crate) vague: bool,
}

/// The sensitive columns that a value depends on; sorted, distinct.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Taint(Vec<Mark>);

impl Taint {
    pub(crate) fn of(column: u32) -> Self {
        Self(vec![Mark { column, through_view: false, computed: false, vague: false }])
    }

    pub(crate) fn add(&mut self, other: &Self) {
        if self.0.is_empty() {
            self.0.clone_from(&other.0);
            return;
        }
        for mark in &other.0 {
            if let Err(at) = self.0.binary_search(mark) {
                self.0.insert(at, *mark);
            }
        }
    }

    pub(crate) fn with(mut self, other: &Self) -> Self {
        self.add(other);
        self
    }

    /// The same columns, seen through a view.
    pub(crate) fn through_view(&self) -> Self {
        self.mapped(|mark| Mark { through_view: true, ..mark })
    }

    /// The same columns, gone through an expression.
    pub(crate) fn computed(self) -> Self {
        if self.0.iter().all(|mark| mark.computed) {
            return self;
        }
        self.mapped(|mark| Mark { computed: true, ..mark })
    }

    /// The same columns, of which the value may be more or less than one.
    pub(crate) fn vague(&self) -> Self {
        self.mapped(|mark| Mark { vague: true, ..mark })
    }

    /// The value is one column of a table as it stands there.
    pub(crate) fn is_one_column(&self) -> bool {
        matches!(self.0.as_slice(), [Mark { through_view: false, computed: false, vague: false, .. }])
    }

    fn mapped(&self, change: impl Fn(Mark) -> Mark) -> Self {
        let mut marks: Vec<_> = self.0.iter().copied().map(change).collect();
        marks.sort_unstable();
        marks.dedup();
        Self(marks)
    }

    /// Every value is a column of a table as it stands there, which a rewritten table can keep countable.
    pub(crate) fn is_verbatim(&self) -> bool {
        self.0.iter().all(|mark| !mark.through_view && !mark.computed)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn marks(&self) -> &[Mark] {
        &self.0
    }
}

impl<'t> FromIterator<&'t Self> for Taint {
    fn from_iter<I: IntoIterator<Item = &'t Self>>(parts: I) -> Self {
        parts.into_iter().fold(Self::default(), Self::with)
    }
}
