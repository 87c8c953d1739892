use super::schema::{Outcome, world};
#[test]
fn dump() {
    let world = world();
    let text = std::fs::read_to_string("/tmp/dump_in.txt").unwrap();
    let mut out = String::new();
    for sql in text.split("\n\u{1}\n") {
        match world.ask(sql) {
            Outcome::Rewritten(text) => out.push_str(&format!("R{text}")),
            Outcome::Allowed => out.push_str(&format!("A{sql}")),
            Outcome::Refused(why) => out.push_str(&format!("D{why}")),
        }
        out.push_str("\n\u{1}\n");
    }
    std::fs::write("/tmp/dump_out.txt", out).unwrap();
}
