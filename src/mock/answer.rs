//! What the mocked model says: items without ids, before they are put on the wire.
//!
//! Pure data and the arithmetic of its size. It must never know a provider or an event.

use serde_json::Value;

/// A whole answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    pub items: Vec<Said>,
    pub early_end: Option<EarlyEnd>,
}

/// One item.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    Reasoning(String),
    Text(String),
    /// A text of which each word is a token and sent by itself.
    Words(String),
    Refusal(String),
    Call(Call),
}

/// A call of a client's tool.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub name: String,
    pub namespace: Option<String>,
    pub content: CallContent,
}

#[derive(Debug, Clone, PartialEq)]
pub enum CallContent {
    /// JSON text, if the script did not mean otherwise.
    Arguments(String),
    Input(String),
}

/// Why an answer is not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarlyEnd {
    MaxOutputTokens,
    ContentFilter,
    /// A guardrail that the request named.
    Guardrail,
}

impl EarlyEnd {
    /// As `incomplete_details.reason` spells it.
    pub fn reason(self) -> &'static str {
        match self {
            EarlyEnd::MaxOutputTokens => "max_output_tokens",
            // Where there is no word for a guardrail.
            EarlyEnd::ContentFilter | EarlyEnd::Guardrail => "content_filter",
        }
    }
}

/// Characters of a delta, in turn.
const PIECE_SIZES: [usize; 5] = [4, 6, 3, 7, 5];

/// A text in the pieces in which it is sent.
pub fn pieces(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    // Long texts go in bigger pieces, or a long argument would take minutes.
    let scale = 1 + letters.len() / 1500;
    for size in PIECE_SIZES.iter().cycle() {
        if at >= letters.len() {
            break;
        }
        let end = (at + size * scale).min(letters.len());
        out.push(letters[at..end].iter().collect());
        at = end;
    }
    out
}

/// Words of three letters, so that each is one token with the space after it.
const WORDS: [&str; 10] = [
    "one", "two", "six", "ten", "and", "all", "for", "the", "new", "sky",
];

/// So many words, and as many tokens.
pub fn words(count: usize) -> String {
    let words = WORDS.iter().cycle().take(count);
    words.copied().collect::<Vec<_>>().join(" ")
}

/// An estimate in tokens: a quarter of the characters, and no fewer than there are words.
pub fn tokens(text: &str) -> u64 {
    let letters = (text.chars().count() as u64).div_ceil(4);
    letters.max(text.split_whitespace().count() as u64)
}

/// An estimate for JSON, without its braces and quotes.
pub fn tokens_of_json(value: &Value) -> u64 {
    match value {
        Value::String(text) => tokens(text),
        Value::Array(list) => list.iter().map(tokens_of_json).sum(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| tokens(key) + tokens_of_json(value))
            .sum(),
        Value::Null => 0,
        Value::Bool(_) | Value::Number(_) => 1,
    }
}

impl Said {
    pub fn text(&self) -> &str {
        match self {
            Said::Reasoning(text) | Said::Text(text) | Said::Words(text) | Said::Refusal(text) => {
                text
            }
            Said::Call(call) => call.content.text(),
        }
    }

    fn text_mut(&mut self) -> &mut String {
        match self {
            Said::Reasoning(text) | Said::Text(text) | Said::Words(text) | Said::Refusal(text) => {
                text
            }
            Said::Call(call) => match &mut call.content {
                CallContent::Arguments(text) | CallContent::Input(text) => text,
            },
        }
    }

    /// Output tokens of this item; reasoning costs something even when nothing of it is shown.
    pub fn tokens(&self) -> u64 {
        match self {
            Said::Reasoning(text) => tokens(text).max(8),
            Said::Call(call) => tokens(&call.name) + tokens(self.text()),
            Said::Text(_) | Said::Words(_) | Said::Refusal(_) => tokens(self.text()),
        }
    }

    /// Its text in the pieces in which it is sent.
    pub fn pieces(&self) -> Vec<String> {
        match self {
            Said::Words(text) => text.split_inclusive(' ').map(str::to_owned).collect(),
            _ => pieces(self.text()),
        }
    }
}

impl CallContent {
    pub fn text(&self) -> &str {
        match self {
            CallContent::Arguments(text) | CallContent::Input(text) => text,
        }
    }
}

impl Answer {
    /// Cuts at the first stop text that a message says; the answer ends there, and is whole.
    pub fn stopped_at(mut self, stops: &[String]) -> Answer {
        for index in 0..self.items.len() {
            let (Said::Text(text) | Said::Words(text)) = &mut self.items[index] else {
                continue;
            };
            let places = stops.iter().filter(|stop| !stop.is_empty());
            if let Some(end) = places.filter_map(|stop| text.find(stop.as_str())).min() {
                text.truncate(end);
                self.items.truncate(index + 1);
                self.early_end = None;
                break;
            }
        }
        self
    }

    /// Cuts what goes beyond the limit.
    pub fn limited(mut self, limit: Option<u64>) -> Answer {
        let Some(limit) = limit else {
            return self;
        };
        let mut left = limit;
        for index in 0..self.items.len() {
            let item = &mut self.items[index];
            let cost = item.tokens();
            if cost <= left {
                left -= cost;
                continue;
            }
            let fixed = cost - tokens(item.text());
            let room = left.saturating_sub(fixed);
            let mut cut: String = item.text().chars().take(room as usize * 4).collect();
            while tokens(&cut) > room {
                // Too many short words: each step drops as many letters as there are tokens too many.
                let keep = cut.chars().count() - (tokens(&cut) - room) as usize;
                cut = cut.chars().take(keep).collect();
            }
            let keep = !cut.is_empty();
            *item.text_mut() = cut;
            self.items.truncate(if keep { index + 1 } else { index });
            self.early_end = Some(EarlyEnd::MaxOutputTokens);
            break;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use crate::mock::answer::*;

    #[test]
    fn a_limit_cuts_and_is_kept() {
        let answer = Answer {
            items: vec![Said::Text("é".repeat(100)), Said::Text("more".to_owned())],
            early_end: None,
        };
        let cut = answer.clone().limited(Some(16));
        assert_eq!(cut.items, [Said::Text("é".repeat(64))]);
        assert_eq!(cut.early_end, Some(EarlyEnd::MaxOutputTokens));
        assert_eq!(answer.clone().limited(Some(26)), answer);
        let words = Answer {
            items: vec![Said::Text(
                "a b c d e f g h i j k l m n o p q r s t".to_owned(),
            )],
            early_end: None,
        };
        assert_eq!(words.limited(Some(16)).items[0].tokens(), 16);
    }

    #[test]
    fn words_are_tokens_and_pieces_also_where_a_limit_cuts() {
        for count in [1, 2, 3, 64, 1001] {
            let said = Said::Words(words(count));
            assert_eq!(said.tokens(), count as u64);
            assert_eq!(said.pieces().len(), count);
            assert_eq!(said.pieces().concat(), said.text());
            let answer = Answer {
                items: vec![said],
                early_end: None,
            };
            let limit = count as u64 / 2;
            let cut = answer.clone().limited(Some(limit));
            assert_eq!(cut.early_end, Some(EarlyEnd::MaxOutputTokens));
            let left: usize = cut.items.iter().map(|said| said.pieces().len()).sum();
            assert_eq!(left as u64, limit);
            assert_eq!(answer.clone().limited(Some(count as u64)), answer);
        }
        assert!(WORDS.iter().all(|word| word.len() == 3));
    }

    #[test]
    fn a_stop_text_ends_the_answer_and_is_not_said() {
        let answer = Answer {
            items: vec![
                Said::Text("one, two; three".to_owned()),
                Said::Text("more".to_owned()),
            ],
            early_end: None,
        };
        let stops = ["".to_owned(), ";".to_owned(), ", ".to_owned()];
        assert_eq!(
            answer.clone().stopped_at(&stops).items,
            [Said::Text("one".to_owned())]
        );
        assert_eq!(answer.clone().stopped_at(&["four".to_owned()]), answer);
    }
}
