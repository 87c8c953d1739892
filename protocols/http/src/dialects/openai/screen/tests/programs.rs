//! What programs write: where it is no JSON after all it is covered as a whole, also in pieces.

use super::*;

#[test]
fn what_a_shell_says_in_pieces_is_covered_like_the_whole() {
    for (text, whole) in [
        ("{'password': 'hunter2', 'and': 'so on and on'} done", "***"),
        ("\u{feff}{\"password\": \"hunter2\", \"and\": \"so on and on\"}", "***"),
        ("{\"a\": 1}\n{\"password\": \"hunter2\"}\n", "{\"a\": 1}\n{\"password\": \"***\"}\n"),
        ("total 1", "total 1"),
    ] {
        let mut run = Run::masked(Shape::Responses);
        let place = json!({ "item_id": "o", "output_index": 0, "command_index": 0 });
        let letters: Vec<char> = text.chars().collect();
        for piece in letters.chunks(5) {
            let mut event = place.clone();
            event["type"] = "response.shell_call_output_content.delta".into();
            event["delta"] = json!({ "stdout": piece.iter().collect::<String>() });
            run.event(&event.to_string());
        }
        let mut done = place.clone();
        done["type"] = "response.shell_call_output_content.done".into();
        done["output"] = json!([{ "stdout": text }]);
        run.event(&done.to_string());
        let said: String = run.data().iter().filter_map(|event| event["delta"]["stdout"].as_str()).collect();
        assert_eq!(said, whole, "{text}");
        assert_eq!(run.data().last().unwrap()["output"][0]["stdout"], whole);
        assert!(!run.unescaped().contains(PASSWORD), "{:?}", run.log);
    }
}

#[test]
fn lines_of_json_in_pieces_are_each_looked_at() {
    for text in
        ["{\"a\": 1}\n{\"password\": \"hunter2\"}\n", "[1]\n\n{\"b\":\"hunter2 no\"}\n{\"password\":\"hunter2\"}"]
    {
        for size in [1, 3, 7, 100] {
            let mut run = Run::masked(Shape::Responses);
            let place = r#""item_id":"m","output_index":0,"content_index":0"#;
            for piece in text.as_bytes().chunks(size) {
                let piece = json!(str::from_utf8(piece).unwrap());
                run.event(&format!(r#"{{"type":"response.output_text.delta",{place},"delta":{piece}}}"#));
            }
            run.event(&format!(r#"{{"type":"response.output_text.done",{place},"text":{}}}"#, json!(text)));
            let said: String = run.data().iter().filter_map(|event| event["delta"].as_str()).collect();
            assert_eq!(Some(said.as_str()), run.data().last().unwrap()["text"].as_str());
            assert!(said.contains("***") && !said.contains("\"hunter2\""), "{said}");
        }
    }
    // Prose that begins like lines is prose, and goes on as it comes.
    let mut run = Run::masked(Shape::Responses);
    run.event(r#"{"type":"response.output_text.delta","output_index":0,"delta":"[1]\nis the first of many, and more follow. "}"#);
    assert_eq!(run.data()[0]["delta"], "[1]\nis the first of many, and more follow. ");
}
