//! What a request may cost at most, before it is sent: the reservation against a budget, settled by the real usage.

use sluice_mask::json::{Kind, Node};

use super::ask::{Model, Unfit};
use super::images::Media;

/// Tokens of one image at most, in the most detailed form of the model that counts them highest.
const IMAGE_TOKENS: u64 = 50_000;
/// Tokens to reserve for an answer if neither the request nor the configuration says more.
const DEFAULT_OUTPUT_TOKENS: u64 = 4096;
/// The most answers to one request; the API allows 128.
const MAX_ANSWERS: i64 = 128;

/// The most tokens that a request uses.
///
/// **Input.** Tokenizers that work on bytes make at most one token of a byte, and a body is never shorter than the text
/// in it, so `bytes of the body - bytes in Base64 + 3/4 of those of files and sound + 50,000 for each image` is a bound of what the
/// body holds. English text has about four bytes to a token: the bound is some four times the usage, which is why a
/// reservation is settled. What the body does not hold (an earlier response, a conversation, a file by its id, what hosted
/// tools find) is bound by the context of the model, if the configuration tells it, and otherwise not at all: see
/// [`Bound`].
///
/// **Output.** The limit in the request, or the default of the model, times the number of answers, and the prediction,
/// whose rejected tokens are charged as output. Each prompt of a list has its own answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) bound: Bound,
}

/// Whether an estimate holds whatever the server does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Bound {
    /// Nothing outside the body is read, or the model could not read more, and it reads once.
    Firm,
    /// The server chooses the length of the answer.
    Loose,
    /// The server adds what the body does not hold, and nothing bounds what that is.
    Open,
}

/// What was found in a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holds {
    pub(super) media: Media,
    pub(super) reach: Reach,
}

impl Holds {
    /// Bytes of content that is in no text.
    pub(super) const fn bytes(&self) -> usize {
        self.media.image_bytes.saturating_add(self.media.other_bytes)
    }
}

/// How much the server reads for a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reach {
    /// The body, and images by their addresses.
    Itself,
    /// Also state by its id, and files.
    Further,
    /// Also what hosted tools bring, which have the model read all of it once more for each of their calls. A stored prompt
    /// may have some.
    Again,
}

impl Estimate {
    /// Reads the limits of a body of that many bytes.
    pub(super) fn read(root: Node<'_>, bytes: usize, holds: &Holds, model: Option<&Model>) -> Result<Self, Unfit> {
        let answers = count(root, "n")?.max(count(root, "best_of")?).unwrap_or(1).max(1).saturating_mul(prompts(root));
        let mut estimate = Self::within(bytes, holds, limit(root)?, answers, model);
        let predicted = root.get("prediction").map_or(0, |prediction| wide(prediction.raw().len()));
        estimate.output_tokens = estimate.output_tokens.saturating_add(predicted);
        Ok(estimate)
    }

    /// The estimate of a form, which has no limit for its answer; the bytes are those of its texts and files.
    pub(super) fn of_form(bytes: usize, holds: &Holds, answers: u8, model: Option<&Model>) -> Self {
        Self::within(bytes, holds, None, u64::from(answers), model)
    }

    fn within(bytes: usize, holds: &Holds, limit: Option<u64>, answers: u64, model: Option<&Model>) -> Self {
        let media = &holds.media;
        let text = wide(bytes.saturating_sub(holds.bytes()));
        let files = wide(media.other_bytes).saturating_mul(3) / 4;
        let images = wide(media.images.saturating_add(media.linked_images)).saturating_mul(IMAGE_TOKENS);
        let held = text.saturating_add(files).saturating_add(images);
        let context = model.and_then(|model| model.context_tokens);
        let input_tokens = match (context, holds.reach) {
            (Some(context), Reach::Further | Reach::Again) => context,
            (Some(context), Reach::Itself) => held.min(context),
            (None, Reach::Further | Reach::Again | Reach::Itself) => held,
        };
        let default = model.map_or(DEFAULT_OUTPUT_TOKENS, |model| model.default_output_tokens);
        let known = match holds.reach {
            Reach::Itself => true,
            Reach::Further => context.is_some(),
            Reach::Again => false,
        };
        let bound = match (known, limit) {
            (true, Some(_)) => Bound::Firm,
            (true, None) => Bound::Loose,
            (false, _) => Bound::Open,
        };
        Self { input_tokens, output_tokens: limit.unwrap_or(default).saturating_mul(answers), bound }
    }
}

/// The price of tokens in millionths of the currency's unit, rounded up; cached ones are a part of the input.
pub(crate) fn cost_micros(input: u64, cached: u64, output: u64, model: &Model) -> u64 {
    let cached = cached.min(input);
    let price = |tokens: u64, micros: u64| u128::from(tokens).saturating_mul(u128::from(micros));
    let fresh = price(input.saturating_sub(cached), model.input_micros);
    let sum =
        fresh.saturating_add(price(cached, model.cached_micros)).saturating_add(price(output, model.output_micros));
    u64::try_from(sum.div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// The limit of an answer. The larger of two counts: which of them a server obeys is not known.
fn limit(root: Node<'_>) -> Result<Option<u64>, Unfit> {
    const NAMES: [&str; 4] = ["max_completion_tokens", "max_output_tokens", "max_tokens", "max_response_output_tokens"];
    let mut most = None;
    for name in NAMES {
        most = most.max(tokens(root, name)?);
    }
    Ok(most)
}

/// A whole number of tokens. Realtime sessions have the word `inf` for no limit at all.
fn tokens(root: Node<'_>, name: &str) -> Result<Option<u64>, Unfit> {
    let Some(value) = root.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
    if value.text().as_deref() == Some("inf") {
        return Ok(None);
    }
    let number = value.as_i64().ok_or_else(|| Unfit::mistyped(name))?;
    u64::try_from(number).map(Some).map_err(|_| Unfit::invalid(name))
}

/// How many prompts a body of `/completions` has, each with answers of its own: texts, or lists of tokens. One list of
/// tokens is one prompt.
fn prompts(root: Node<'_>) -> u64 {
    let Some(prompt) = root.get("prompt").filter(|prompt| prompt.kind() == Kind::Array) else { return 1 };
    wide(prompt.items().filter(|item| item.kind() != Kind::Number).count()).max(1)
}

fn count(root: Node<'_>, name: &str) -> Result<Option<u64>, Unfit> {
    let Some(value) = root.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
    let number = value.as_i64().ok_or_else(|| Unfit::mistyped(name))?;
    let fits = (0..=MAX_ANSWERS).contains(&number);
    u64::try_from(number).ok().filter(|_| fits).map(Some).ok_or_else(|| Unfit::invalid(name))
}

fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
