//! Models and embeddings.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::ask::{list, member, words};
use super::fault::Fault;

/// The models there are, although every name is answered to.
const MODELS: [&str; 3] = ["gpt-demo", "gpt-demo-mini", "text-embedding-demo"];
/// How long a vector is, if nothing else is asked for, and at most.
const DIMENSIONS: u64 = 16;
const MOST_DIMENSIONS: u64 = 4_096;

/// The list of models (<https://platform.openai.com/docs/api-reference/models>).
pub(super) fn models() -> Value {
    json!({ "object": "list", "data": MODELS.map(model) })
}

/// One model, by its name.
pub(super) fn named(name: &str) -> Result<Value, Fault> {
    MODELS.iter().find(|known| **known == name).map(|known| model(known)).ok_or_else(|| Fault::unknown("That model"))
}

fn model(name: &str) -> Value {
    json!({ "id": name, "object": "model", "created": 1_700_000_000, "owned_by": "demo" })
}

/// A vector for each input (<https://platform.openai.com/docs/api-reference/embeddings>).
pub(super) fn embeddings(body: &Value) -> Result<Value, Fault> {
    let model = member(body, "model").as_str().ok_or_else(|| Fault::wrong("`model` is missing."))?;
    let input = member(body, "input");
    let inputs: Vec<String> = match input {
        Value::String(text) => vec![text.clone()],
        Value::Array(_) => list(input).iter().map(ToString::to_string).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            return Err(Fault::wrong("`input` is missing."));
        }
    };
    let dimensions = member(body, "dimensions").as_u64().unwrap_or(DIMENSIONS).clamp(1, MOST_DIMENSIONS);
    let in_base64 = member(body, "encoding_format") == "base64";
    let vectors = inputs.iter().enumerate().map(|(index, text)| {
        let vector: Vec<f32> = vector(text, dimensions).collect();
        let bytes = || vector.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
        let embedding = if in_base64 { json!(STANDARD.encode(bytes())) } else { json!(vector) };
        json!({ "object": "embedding", "index": index, "embedding": embedding })
    });
    let spent = words(input);
    Ok(json!({
        "object": "list", "data": vectors.collect::<Vec<_>>(), "model": model,
        "usage": { "prompt_tokens": spent, "total_tokens": spent },
    }))
}

/// Numbers between -1 and 1 that depend on nothing but the text: FNV-1a, over and over.
fn vector(text: &str, dimensions: u64) -> impl Iterator<Item = f32> {
    (0..dimensions).map(move |place| {
        let seed = place.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xcbf2_9ce4_8422_2325;
        let hash = text.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        let high = u16::try_from(hash >> 48).unwrap_or(0);
        f32::from(high) / f32::from(u16::MAX) * 2.0 - 1.0
    })
}
