//! What control sequences do to the terminal of a viewer.

/// A class of control sequences.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// Colours and character sets.
    Style,
    /// Erases without moving the cursor.
    Erase,
    /// Moves the cursor or the text around it.
    Move,
    /// Sets or resets a mode.
    Mode,
    /// Names the window or its icon, or tells the working directory.
    Title,
    /// A hyperlink.
    Link,
    /// Changes the palette, or asks for it.
    Palette,
    /// Marks prompts and commands (OSC 133 and alike).
    Mark,
    /// Shows a picture or takes a file.
    Picture,
    /// Reads or writes the clipboard.
    Clipboard,
    /// Makes the terminal type an answer.
    Report,
    /// Notifies the person outside the terminal.
    Notify,
    /// Programs keys, macros or fonts, resizes the window or prints on paper.
    Program,
    /// Everything else.
    Other,
}

impl Kind {
    /// The kind of an operating system command, by its number ("XTerm Control Sequences", Operating System Commands).
    pub(super) const fn of_command(number: u32) -> Self {
        match number {
            0..=3 | 6 | 7 => Self::Title,
            4 | 5 | 10..=19 | 104..=119 => Self::Palette,
            8 => Self::Link,
            9 | 99 | 777 => Self::Notify,
            50 | 60 | 61 => Self::Program,
            52 | 5522 => Self::Clipboard,
            133 | 633 => Self::Mark,
            1337 => Self::Picture,
            _ => Self::Other,
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A set of kinds of control sequences.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Kinds(u16);

impl Kinds {
    /// No kind.
    pub const NONE: Self = Self(0);
    /// What acts on the viewer's machine instead of on the screen, or makes it type.
    pub const HAZARDS: Self =
        Self(Kind::Clipboard.bit() | Kind::Report.bit() | Kind::Notify.bit() | Kind::Program.bit());

    /// The same set with a kind in it.
    #[must_use]
    pub const fn with(self, kind: Kind) -> Self {
        Self(self.0 | kind.bit())
    }

    /// Whether a kind is in the set.
    #[must_use]
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & kind.bit() != 0
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}
