//! Patterns of names and families of hosted tools; how requests offer tools is tested with whole requests.

use super::*;

#[test]
fn patterns() {
    let rows = [
        ("delete_*", "delete_user", true),
        ("delete_*", "Delete_User", true),
        ("DELETE_*", "delete_", true),
        ("delete_*", "undelete_x", false),
        ("*drop*", "backdrop_x", true),
        ("*drop*", "drop", true),
        ("drop", "drop", true),
        ("drop", "drops", false),
        ("*", "", true),
        ("", "", true),
        ("", "x", false),
        ("a*b*c", "abc", true),
        ("a*b*c", "axxbyyc", true),
        ("a*b*c", "acb", false),
        ("*a*a", "a", false),
        ("*a*a", "aa", true),
        ("a**b", "ab", true),
        ("*_all", "delete_all", true),
        ("ab*ba", "aba", false),
        ("é*", "éa", true),
    ];
    for (pattern, name, expected) in rows {
        assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
    }
}

#[test]
fn families() {
    let rows = [
        ("web_search", "web_search"),
        ("web_search_preview", "web_search"),
        ("web_search_preview_2025_03_11", "web_search"),
        ("web_search_2025_08_26", "web_search"),
        ("web_search_preview_2031_01_02", "web_search"),
        ("computer_use_preview", "computer"),
        ("computer_use", "computer"),
        ("computer", "computer"),
        ("shell", "shell"),
        ("local_shell", "local_shell"),
        ("new_2030_01_01", "new"),
        ("x_2030_1_01", "x_2030_1_01"),
        ("_2030_01_01", ""),
        ("", ""),
    ];
    for (name, family) in rows {
        assert_eq!(Tool::hosted(name).judge(&[]).family(), family, "{name}");
    }
    let function = Offered { name: "web_search_preview".to_owned(), kind: Kind::Function, harm: Harm::None };
    assert_eq!(function.family(), "web_search_preview");
}
