//! Which byte of the folded alphabet a character becomes.

use unicode_normalization::char::decompose_compatible;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// A letter of a script that puts spaces between words and has no ASCII form: it joins ASCII letters to one word.
pub(crate) const LETTER: u8 = 0x80;
/// A letter of a script that writes words without spaces: it ends the word before it.
pub(super) const IDEOGRAPH: u8 = 0x81;
/// A symbol, an emoji, a character nobody has assigned.
pub(crate) const SYMBOL: u8 = 0x82;

/// Emits the bytes that a character folds to; none if it cannot be seen or only decorates the one before it.
///
/// This is compatibility decomposition (Unicode Standard Annex 15) without its marks, and on top of it one digit for
/// every decimal digit, one dash for every dash, one space for every space.
pub(crate) fn fold(character: char, emit: &mut impl FnMut(u8)) {
    if character.is_ascii() {
        return ascii(character).into_iter().for_each(emit);
    }
    if let Some(byte) = frequent(character).or_else(|| look_alike(character)) {
        return emit(byte);
    }
    decomposed(character, emit);
}

fn decomposed(character: char, emit: &mut impl FnMut(u8)) {
    let mut last = None;
    decompose_compatible(character, |part| {
        let byte = simple(part);
        // An expansion into several letters of one foreign script says no more than its first letter.
        if let Some(byte) = byte
            && (byte.is_ascii() || last != Some(byte))
        {
            emit(byte);
            last = Some(byte);
        }
    });
}

/// ASCII stands for itself, except that controls which are no white space cannot be seen.
pub(super) fn ascii(character: char) -> Option<u8> {
    let byte = u8::try_from(character).ok()?;
    match byte {
        b'\t' | b'\n' | b'\r' | b' '..=b'~' => Some(byte),
        0x0b | 0x0c => Some(b'\n'),
        _ => None,
    }
}

/// Blocks whose every character folds alike, so that ordinary text in these scripts needs no tables.
const fn frequent(character: char) -> Option<u8> {
    match character {
        '\u{400}'..='\u{481}' | '\u{48a}'..='\u{52f}' | '\u{3b1}'..='\u{3c9}' => Some(LETTER),
        '\u{5d0}'..='\u{5ea}' | '\u{620}'..='\u{63f}' | '\u{641}'..='\u{64a}' => Some(LETTER),
        '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' => Some(IDEOGRAPH),
        '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' => Some(IDEOGRAPH),
        '\u{fffd}' => Some(SYMBOL),
        _ => latin(character),
    }
}

/// The letters of western Europe that are one of ASCII with a mark.
const fn latin(character: char) -> Option<u8> {
    match character {
        'À'..='Å' => Some(b'A'),
        'Ç' => Some(b'C'),
        'È'..='Ë' => Some(b'E'),
        'Ì'..='Ï' => Some(b'I'),
        'Ñ' => Some(b'N'),
        'Ò'..='Ö' => Some(b'O'),
        'Ù'..='Ü' => Some(b'U'),
        'à'..='å' => Some(b'a'),
        'ç' => Some(b'c'),
        'è'..='ë' => Some(b'e'),
        'ì'..='ï' => Some(b'i'),
        'ñ' => Some(b'n'),
        'ò'..='ö' => Some(b'o'),
        'ù'..='ü' => Some(b'u'),
        'ß' => Some(LETTER),
        _ => None,
    }
}

/// Characters that people read as an ASCII one although no decomposition says so.
const fn look_alike(character: char) -> Option<u8> {
    match character {
        '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{2bc}' | '\u{2032}' => Some(b'\''),
        '\u{201c}' | '\u{201d}' | '\u{201f}' => Some(b'"'),
        '\u{2212}' | '\u{2043}' | '\u{2d7}' | '\u{2796}' | '\u{30fc}' | '\u{ff70}' | '\u{2500}' | '\u{2501}' => {
            Some(b'-')
        }
        '\u{3002}' | '\u{ff61}' | '\u{b7}' | '\u{387}' | '\u{2022}' | '\u{2027}' | '\u{2219}' | '\u{22c5}' => {
            Some(b'.')
        }
        '\u{30fb}' | '\u{ff65}' | '\u{66b}' | '\u{6d4}' => Some(b'.'),
        '\u{2044}' | '\u{2215}' | '\u{29f8}' => Some(b'/'),
        '\u{2236}' | '\u{a789}' => Some(b':'),
        '\u{2795}' => Some(b'+'),
        '\u{2800}' => Some(b' '),
        '\u{85}' | '\u{2028}' | '\u{2029}' => Some(b'\n'),
        _ => None,
    }
}

/// The fold of one character that does not decompose.
fn simple(character: char) -> Option<u8> {
    if character.is_ascii() {
        return ascii(character);
    }
    if invisible(character) {
        return None;
    }
    if let Some(byte) = look_alike(character) {
        return Some(byte);
    }
    match character.general_category() {
        GeneralCategory::DecimalNumber => Some(decimal(character)),
        GeneralCategory::DashPunctuation => Some(b'-'),
        GeneralCategory::SpaceSeparator => Some(b' '),
        GeneralCategory::NonspacingMark
        | GeneralCategory::SpacingMark
        | GeneralCategory::EnclosingMark
        | GeneralCategory::Format
        | GeneralCategory::Control => None,
        GeneralCategory::OtherNumber => Some(encircled(character).unwrap_or(SYMBOL)),
        GeneralCategory::UppercaseLetter
        | GeneralCategory::LowercaseLetter
        | GeneralCategory::TitlecaseLetter
        | GeneralCategory::ModifierLetter
        | GeneralCategory::OtherLetter => Some(if joins(character) { LETTER } else { IDEOGRAPH }),
        GeneralCategory::ConnectorPunctuation => Some(b'_'),
        GeneralCategory::LetterNumber
        | GeneralCategory::OpenPunctuation
        | GeneralCategory::ClosePunctuation
        | GeneralCategory::InitialPunctuation
        | GeneralCategory::FinalPunctuation
        | GeneralCategory::OtherPunctuation
        | GeneralCategory::MathSymbol
        | GeneralCategory::CurrencySymbol
        | GeneralCategory::ModifierSymbol
        | GeneralCategory::OtherSymbol
        | GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator
        | GeneralCategory::Surrogate
        | GeneralCategory::PrivateUse
        | GeneralCategory::Unassigned => Some(SYMBOL),
    }
}

/// `Default_Ignorable_Code_Point` of the Unicode Character Database where the general category does not say it.
const fn invisible(character: char) -> bool {
    matches!(
        character,
        '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{2065}' | '\u{fff0}'..='\u{fff8}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Decimal digits come in runs of ten that begin with zero (Unicode Standard, section 4.6).
fn decimal(character: char) -> u8 {
    let is_digit = |code: u32| {
        char::from_u32(code).is_some_and(|before| before.general_category() == GeneralCategory::DecimalNumber)
    };
    let code = u32::from(character);
    let before = (1..60).take_while(|back| is_digit(code.saturating_sub(*back))).count();
    u8::try_from(before % 10).map_or(SYMBOL, |digit| b'0'.saturating_add(digit))
}

/// Digits in circles that do not decompose.
fn encircled(character: char) -> Option<u8> {
    let code = u32::from(character);
    let value = match character {
        '\u{2776}'..='\u{277e}' => code.saturating_sub(0x2775),
        '\u{2780}'..='\u{2788}' => code.saturating_sub(0x277f),
        '\u{278a}'..='\u{2792}' => code.saturating_sub(0x2789),
        '\u{24f5}'..='\u{24fd}' => code.saturating_sub(0x24f4),
        '\u{24ff}' | '\u{1f10b}' | '\u{1f10c}' => 0,
        _ => return None,
    };
    u8::try_from(value).ok().map(|value| b'0'.saturating_add(value))
}

/// Thai to Myanmar, Khmer and the scripts of East Asia write words without spaces; the rest joins.
const fn joins(character: char) -> bool {
    matches!(character,
        '\u{80}'..='\u{dff}' | '\u{10a0}'..='\u{10ff}' | '\u{1200}'..='\u{177f}' | '\u{1800}'..='\u{194f}'
        | '\u{1d00}'..='\u{2e7f}' | '\u{a640}'..='\u{a82f}' | '\u{ab30}'..='\u{abbf}' | '\u{fb00}'..='\u{fdff}'
        | '\u{fe70}'..='\u{fefe}' | '\u{10000}'..='\u{16fff}' | '\u{1d400}'..='\u{1eeff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        text.chars().for_each(|character| fold(character, &mut |byte| bytes.push(byte)));
        bytes
    }

    #[test]
    fn what_is_frequent_folds_as_the_tables_say() {
        let mut seen = 0;
        for character in '\u{80}'..=char::MAX {
            if let Some(byte) = frequent(character) {
                let mut bytes = Vec::new();
                decomposed(character, &mut |byte| bytes.push(byte));
                assert_eq!(bytes, [byte], "{character}");
                seen += 1;
            }
        }
        assert!(seen > 30_000, "{seen}");
    }

    #[test]
    fn every_decimal_digit_is_a_digit() {
        for ten in
            ["0123456789", "０１２３４５６７８９", "٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९", "𝟶𝟷𝟸𝟹𝟺𝟻𝟼𝟽𝟾𝟿", "⁰¹²³⁴⁵⁶⁷⁸⁹", "⓪①②③④⑤⑥⑦⑧⑨"]
        {
            assert_eq!(folded(ten), b"0123456789", "{ten}");
        }
        let mut seen = 0;
        for character in ('\u{80}'..char::MAX).filter(|c| c.general_category() == GeneralCategory::DecimalNumber) {
            assert!(matches!(folded(&character.to_string()).as_slice(), [b'0'..=b'9']), "{character}");
            seen += 1;
        }
        assert!(seen > 600 && seen % 10 == 0, "{seen}");
    }

    #[test]
    fn dashes_spaces_and_forms_are_one() {
        for (text, expected) in [
            ("‐‑‒–—―−﹣－⁃˗➖", &b"------------"[..]),
            ("\u{a0}\u{2007}\u{202f}\u{3000}\u{205f}\u{1680}", b"      "),
            ("．。｡·•", b"....."),
            ("ＡＢＣ＠ｘ", b"ABC@x"),
            ("𝐳𝓺𝟕𝖝", b"zq7x"),
            ("ﬁ№℡", b"fiNoTEL"),
            ("Zoë Ångström", b"Zoe Angstrom"),
            ("’“”", b"'\"\""),
            ("➊➁⓿", b"120"),
        ] {
            assert_eq!(folded(text), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_seen_folds_to_nothing() {
        let unseen = "\u{ad}\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}\u{304}\u{34f}\u{202e}\u{2066}\u{fe0f}\u{20e3}\u{180e}\u{3164}\u{e0041}\u{0}\u{8}\u{1b}\u{7f}";
        assert_eq!(folded(unseen), b"");
    }

    #[test]
    fn other_scripts_are_letters_or_ideographs() {
        assert_eq!(folded("Ωжשع"), [LETTER; 4]);
        assert_eq!(folded("中か가ไ"), [IDEOGRAPH; 4]);
        assert_eq!(folded("😀€\u{e000}"), [SYMBOL; 3]);
    }
}
