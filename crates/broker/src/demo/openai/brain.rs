//! The script: what is answered to what.

use serde_json::json;

use super::ask::Ask;

/// How many characters of a tool's result an answer quotes.
const QUOTED: usize = 400;

/// What the model does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Thought {
    Say {
        text: String,
        ending: Ending,
    },
    Call(Vec<Call>),
    /// Answers with this status instead.
    Fail(u16),
}

/// How a text that has been begun ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ending {
    Finish,
    /// With an error, half-way.
    Fail,
    /// With a broken connection, half-way.
    HangUp,
}

/// A call of a function.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Call {
    pub(super) name: &'static str,
    /// A JSON text.
    pub(super) arguments: String,
}

/// The statement for a question in which every word of a row is found; the first row that fits counts.
const STATEMENTS: [(&[&str], &str); 8] = [
    (&["how many", "customer"], "SELECT count(*) FROM customers"),
    (&["how many", "order"], "SELECT count(*) FROM orders"),
    (&["ssn"], "SELECT name, ssn FROM customers ORDER BY id LIMIT 3"),
    (&["social security"], "SELECT name, ssn FROM customers ORDER BY id LIMIT 3"),
    (&["note"], "SELECT name, notes FROM customers ORDER BY id LIMIT 3"),
    (&["discount"], "UPDATE orders SET total = total - 10 WHERE id = 10"),
    (&["customer"], "SELECT name, email FROM customers ORDER BY id LIMIT 3"),
    (&["order"], "SELECT item, total FROM orders ORDER BY id LIMIT 3"),
];

/// Thinks; the same question always leads to the same thought.
pub(super) fn think(ask: &Ask) -> Thought {
    if let Some(said) = ask.results.last() {
        return say(format!("This is what I found: {}", said.chars().take(QUOTED).collect::<String>()));
    }
    let asked = ask.question.to_lowercase();
    if let Some(status) = staged(&asked) {
        return Thought::Fail(status);
    }
    let ending = if asked.contains("fail half-way") {
        Ending::Fail
    } else if asked.contains("hang up half-way") {
        Ending::HangUp
    } else {
        Ending::Finish
    };
    if let Some((_, repeated)) = split_at_word(&ask.question, "repeat") {
        let text = repeated.trim_start_matches([':', ' ', ',', '\n']).to_owned();
        return Thought::Say { text, ending };
    }
    if ending != Ending::Finish {
        return Thought::Say { text: "This answer was going to be longer than it is.".to_owned(), ending };
    }
    let wanted: Vec<Call> = ask.question.split(" and ").filter_map(wish).collect();
    if wanted.is_empty() {
        return say("I am the demo's scripted model. Ask me about customers and orders, or to repeat something.".into());
    }
    let calls: Vec<Call> = wanted.into_iter().filter(|call| ask.tools.iter().any(|tool| tool == call.name)).collect();
    if calls.is_empty() { say("I have no tool for that.".to_owned()) } else { Thought::Call(calls) }
}

const fn say(text: String) -> Thought {
    Thought::Say { text, ending: Ending::Finish }
}

/// The status of `fail with 503`.
fn staged(asked: &str) -> Option<u16> {
    let (_, rest) = asked.split_once("fail with ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().filter(|status| (400..600).contains(status))
}

/// The one call that a part of a question asks for.
fn wish(part: &str) -> Option<Call> {
    let asked = part.to_lowercase();
    for verb in ["delete", "drop", "remove"] {
        if let Some((_, rest)) = split_at_word(part, verb) {
            return Some(Call { name: "delete_customer", arguments: json!({ "name": name(rest) }).to_string() });
        }
    }
    if let Some((_, rest)) = asked.split_once("order ") {
        let digits: String =
            rest.trim_start_matches(['#', 'n', 'o', '.', ' ']).chars().take_while(char::is_ascii_digit).collect();
        if let Ok(order) = digits.parse::<u32>() {
            return Some(Call { name: "lookup_order", arguments: json!({ "order_id": order }).to_string() });
        }
    }
    let fits = |words: &&[&str]| words.iter().all(|word| asked.contains(word));
    let (_, sql) = STATEMENTS.iter().find(|(words, _)| fits(words))?;
    Some(Call { name: "query_database", arguments: json!({ "sql": sql }).to_string() })
}

/// What stands before and after a word, whatever its case.
fn split_at_word<'t>(text: &'t str, word: &str) -> Option<(&'t str, &'t str)> {
    let mut at = 0_usize;
    loop {
        let end = at.checked_add(word.len())?;
        if end > text.len() {
            return None;
        }
        if let (Some(before), Some(found), Some(after)) = (text.get(..at), text.get(at..end), text.get(end..))
            && found.eq_ignore_ascii_case(word)
        {
            return Some((before, after));
        }
        at = at.checked_add(1)?;
    }
}

/// The first words in a row that begin with capitals.
fn name(text: &str) -> String {
    let words = text.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
    let capital = |word: &&str| word.chars().next().is_some_and(char::is_uppercase);
    let found: Vec<&str> = words.skip_while(|word| !capital(word)).take_while(capital).collect();
    if found.is_empty() { "Ada Winters".to_owned() } else { found.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(question: &str) -> Ask {
        let tools = ["query_database", "lookup_order", "delete_customer"].map(str::to_owned).to_vec();
        Ask { question: question.to_owned(), tools, choices: 1, ..Ask::default() }
    }

    fn calls(question: &str) -> Vec<(&'static str, String)> {
        match think(&ask(question)) {
            Thought::Call(calls) => calls.into_iter().map(|call| (call.name, call.arguments)).collect(),
            Thought::Say { .. } | Thought::Fail(_) => Vec::new(),
        }
    }

    #[test]
    fn questions_lead_to_calls() {
        let one = |name, arguments: &str| vec![(name, arguments.to_owned())];
        for (question, wanted) in [
            ("How many customers are there?", one("query_database", r#"{"sql":"SELECT count(*) FROM customers"}"#)),
            ("What is in order 10?", one("lookup_order", r#"{"order_id":10}"#)),
            ("What is in order #11?", one("lookup_order", r#"{"order_id":11}"#)),
            ("Please delete the customer Bao Tran.", one("delete_customer", r#"{"name":"Bao Tran"}"#)),
            ("DROP customer Ada Winters", one("delete_customer", r#"{"name":"Ada Winters"}"#)),
            ("Remove the oldest one", one("delete_customer", r#"{"name":"Ada Winters"}"#)),
            ("Good morning", Vec::new()),
        ] {
            assert_eq!(calls(question), wanted, "{question}");
        }
        let two = calls("Look up order 10 and delete customer Finn Larsen");
        assert_eq!(two.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["lookup_order", "delete_customer"]);
    }

    #[test]
    fn only_offered_tools_are_called() {
        let mut asked = ask("Delete customer Bao Tran");
        asked.tools.retain(|tool| tool == "lookup_order");
        assert_eq!(think(&asked), say("I have no tool for that.".to_owned()));
    }

    #[test]
    fn results_are_told_and_inputs_repeated() {
        let mut asked = ask("How many customers are there?");
        asked.results = vec!["6".to_owned()];
        assert_eq!(think(&asked), say("This is what I found: 6".to_owned()));
        assert_eq!(think(&ask("Repeat: a@example.com, ok?")), say("a@example.com, ok?".to_owned()));
        assert_eq!(think(&ask("please fail with 503")), Thought::Fail(503));
        let broken = Thought::Say { text: "abc, fail half-way".to_owned(), ending: Ending::Fail };
        assert_eq!(think(&ask("repeat abc, fail half-way")), broken);
    }
}
