//! JSON as an agent writes it on a bad day, read for what can be had of it.
//!
//! What is asked for in the wrong shape comes as nothing, as zero, or as its text, and harms no other field. Half
//! characters (`"\ud83d"`: an emoji cut in two by whoever streamed it) are put together where both halves come, and else
//! shown as U+FFFD. Nothing here goes deeper into a value than it is asked to, so nesting takes no stack.

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// What stands for half a character.
const UNREADABLE: char = char::REPLACEMENT_CHARACTER;

/// An object's fields, each as the text that it came as.
#[derive(Debug, Default)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A piece of text out of a stream of them, which may begin and end with half a character.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Piece {
    /// The second half of a character whose first one came before.
    low: Option<u16>,
    /// What is between.
    text: String,
    /// The first half of a character whose second one comes next.
    high: Option<u16>,
}

/// Half a character at the end of what came so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Half(Option<u16>);

/// A string's bytes, where half characters are three bytes each, as UTF-8 would write them if it could (WTF-8).
struct Bytes<'a>(Cow<'a, [u8]>);

// === impl Object ===

impl<'a> Object<'a> {
    /// The object that this text is.
    pub(super) fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The object that this text begins with, and its length there.
    pub(super) fn first(text: &'a str) -> Option<(Self, usize)> {
        let mut objects = serde_json::Deserializer::from_str(text).into_iter();
        let object = objects.next()?.ok()?;
        Some((object, objects.byte_offset()))
    }

    /// The object that a value is; without fields where it is none.
    pub(super) fn of(value: Option<&'a RawValue>) -> Self {
        let parsed = value.map(|value| Self::parse(value.get()));
        parsed.and_then(Result::ok).unwrap_or_default()
    }

    /// A field's value. `null` is none.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let field = self.0.iter().rev().find(|(field, _)| field == name);
        field
            .map(|(_, value)| *value)
            .filter(|value| value.get() != "null")
    }

    /// A field's text.
    pub(super) fn text(&self, name: &str) -> String {
        text(self.get(name))
    }

    /// A field's number.
    pub(super) fn number(&self, name: &str) -> f64 {
        number(self.get(name))
    }

    /// A field's number without what is behind its point, within 32 bits.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "`as` saturates, which is what is wanted"
    )]
    pub(super) fn small(&self, name: &str) -> i32 {
        self.number(name) as i32
    }

    /// A field's number without what is behind its point.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "`as` saturates, which is what is wanted"
    )]
    pub(super) fn whole(&self, name: &str) -> i64 {
        let value = self.get(name);
        // Not by way of a float, which has no room for every one of them.
        let exact = value.and_then(|value| value.get().parse().ok());
        exact.unwrap_or_else(|| number(value) as i64)
    }

    /// Whether a field says yes.
    pub(super) fn flag(&self, name: &str) -> bool {
        match self.get(name).map(RawValue::get) {
            Some("true" | "\"true\"") => true,
            Some("false" | "\"false\"") | None => false,
            Some(_) => self.number(name) != 0.0,
        }
    }

    /// All fields, in order.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), *value))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(Bytes(name)) = map.next_key()? {
                    let name = match name {
                        Cow::Borrowed(name) => String::from_utf8_lossy(name),
                        Cow::Owned(name) => String::from_utf8_lossy(&name).into_owned().into(),
                    };
                    fields.push((name, map.next_value()?));
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Fields).map(Self)
    }
}

// === impl Bytes ===

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Cow<'de, [u8]>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(bytes.into())
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(bytes.to_owned().into())
            }
        }
        deserializer.deserialize_bytes(Any).map(Self)
    }
}

/// A list's elements; a value that is no list is its only one.
pub(super) fn list(value: Option<&RawValue>) -> Vec<&RawValue> {
    value.map_or_else(Vec::new, |value| {
        serde_json::from_str(value.get()).unwrap_or_else(|_| vec![value])
    })
}

/// A string's content; of any other value its JSON text.
pub(super) fn text(value: Option<&RawValue>) -> String {
    let (mut half, piece) = (Half::default(), piece(value));
    let mut text = half.join(piece);
    text.extend(half.end());
    text
}

/// What a value says that should be a sentence: of an object its `message`, or that of its `error`.
pub(super) fn sentence(value: Option<&RawValue>) -> String {
    let mut object = Object::of(value);
    if object.get("message").is_none() && object.get("error").is_some() {
        object = Object::of(object.get("error"));
    }
    match object.get("message") {
        Some(message) => text(Some(message)),
        None => text(value),
    }
}

/// A string's content as a piece of a stream; of any other value its JSON text.
pub(super) fn piece(value: Option<&RawValue>) -> Piece {
    let Some(value) = value.filter(|value| value.get() != "null") else {
        return Piece::default();
    };
    match serde_json::from_str(value.get()) {
        Ok(Bytes(bytes)) => Piece::of(&bytes),
        Err(_) => Piece {
            text: readable(value.get()).into_owned(),
            ..Piece::default()
        },
    }
}

/// A number, as such or as a string; 0 for everything else.
fn number(value: Option<&RawValue>) -> f64 {
    let text = value.map_or("", |value| value.get());
    let number = text.trim_matches('"').trim().parse();
    number.ok().filter(|it: &f64| it.is_finite()).unwrap_or(0.0)
}

/// JSON text in which no string has half a character, which many readers refuse.
pub(super) fn readable(json: &str) -> Cow<'_, str> {
    if !(json.contains("\\ud") || json.contains("\\uD")) {
        return json.into();
    }
    let mut readable = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        readable.push_str(before);
        // Two halves that belong together are one escape here.
        let length = match (unit(escape), escape.get(6..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => 0,
            (Some(_), _) => 6,
            // What follows the backslash is one byte, and it may be a backslash.
            (None, _) => 2.min(escape.len()),
        };
        if length == 0 {
            readable.push_str("\\ufffd");
            rest = &escape[6..];
        } else {
            let (escape, after) = escape.split_at(escape.ceil_char_boundary(length));
            readable.push_str(escape);
            rest = after;
        }
    }
    readable.push_str(rest);
    readable.into()
}

/// The UTF-16 unit that an escape stands for.
fn unit(escape: &str) -> Option<u16> {
    let digits = escape.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}

// === impl Piece ===

impl Piece {
    fn of(bytes: &[u8]) -> Self {
        if let Ok(text) = str::from_utf8(bytes) {
            return Self {
                text: text.to_owned(),
                ..Self::default()
            };
        }
        let mut piece = Self::default();
        let mut rest = bytes;
        if let Some((half @ 0xdc00..=0xdfff, after)) = half_of(rest) {
            piece.low = Some(half);
            rest = after;
        }
        while !rest.is_empty() {
            let good = match str::from_utf8(rest) {
                Ok(text) => text,
                Err(error) => str::from_utf8(&rest[..error.valid_up_to()]).expect("it said so"),
            };
            piece.text.push_str(good);
            rest = &rest[good.len()..];
            match half_of(rest) {
                Some((high @ 0xd800..=0xdbff, [])) => {
                    piece.high = Some(high);
                    return piece;
                }
                Some((_, after)) => {
                    piece.text.push(UNREADABLE);
                    rest = after;
                }
                None if rest.is_empty() => {}
                None => {
                    piece.text.push(UNREADABLE);
                    rest = &rest[1..];
                }
            }
        }
        piece
    }
}

impl From<&str> for Piece {
    fn from(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            ..Self::default()
        }
    }
}

/// The half character that the bytes begin with, and what follows it.
fn half_of(bytes: &[u8]) -> Option<(u16, &[u8])> {
    match bytes {
        [0xed, second @ 0xa0..=0xbf, third, after @ ..] => {
            let half = 0xd000 | u16::from(second & 0x3f) << 6 | u16::from(third & 0x3f);
            Some((half, after))
        }
        _ => None,
    }
}

// === impl Half ===

impl Half {
    /// What can be shown once this piece came as well.
    pub(super) fn join(&mut self, piece: Piece) -> String {
        let Piece {
            low,
            text: between,
            high,
        } = piece;
        if low.is_none() && between.is_empty() && high.is_none() {
            return between;
        }
        let mut text = String::with_capacity(between.len() + 4);
        match (self.0.take(), low) {
            (None, None) => {}
            (before, after) => {
                let both = before.into_iter().chain(after);
                text.extend(char::decode_utf16(both).map(|it| it.unwrap_or(UNREADABLE)));
            }
        }
        text.push_str(&between);
        self.0 = high;
        text
    }

    /// What stands for a half whose other one never came.
    pub(super) fn end(&mut self) -> Option<char> {
        self.0.take().map(|_| UNREADABLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).expect("JSON")
    }

    #[test]
    fn halves_meet_over_pieces_and_stand_for_themselves_where_they_do_not() {
        for (pieces, whole) in [
            (&[r#""a\ud83d""#, r#""\ude00b""#][..], "a😀b"),
            (&[r#""\ud83d""#, r#""""#, r#""\ude00""#], "😀"),
            (&[r#""\ud83d""#, r#""\ude00\ud83d""#, r#""\ude00""#], "😀😀"),
            (&[r#""\ud83d""#, r#""x""#], "\u{fffd}x"),
            (&[r#""\ude00x""#], "\u{fffd}x"),
            (&[r#""a\ud83d""#], "a\u{fffd}"),
            (&[r#""\ud83d\ud83d\ude00""#], "\u{fffd}😀"),
            (&[r#""\ude00\ude00""#], "\u{fffd}\u{fffd}"),
            (&[r#""a\ud83d\nb""#], "a\u{fffd}\nb"),
            (&["null", "12", r#"{"a":"\ud83d"}"#], r#"12{"a":"\ufffd"}"#),
        ] {
            let mut half = Half::default();
            let mut text = String::new();
            for json in pieces {
                text.push_str(&half.join(piece(Some(&raw(json)))));
            }
            text.extend(half.end());
            assert_eq!(text, whole, "{pieces:?}");
        }
    }

    #[test]
    fn json_becomes_readable_and_stays_what_it_was() {
        for (json, readable_json) in [
            (r#"{"a":"\ud83d\ude00"}"#, r#"{"a":"\ud83d\ude00"}"#),
            (r#"{"a":"\uD83D"}"#, r#"{"a":"\ufffd"}"#),
            (r#"["\ude00\ud83d"]"#, r#"["\ufffd\ufffd"]"#),
            (r#"["\\ud83d \\\ud83d"]"#, r#"["\\ud83d \\\ufffd"]"#),
            (r#"["\ud83d\n\u00e4\""]"#, r#"["\ufffd\n\u00e4\""]"#),
        ] {
            assert_eq!(readable(json), readable_json);
        }
    }

    /// R16: any string is read, and what is handed on can be read by everyone.
    #[test]
    fn any_json_is_read_and_made_readable() {
        let words: &[&[u8]] = &[
            br#""\ud83d""#,
            br#"{"a":"\ude00\ud83d\\u"}"#,
            b"\"\\u00e4x\"",
        ];
        crate::fuzz::fuzz(words, |bytes| {
            let text_of = String::from_utf8_lossy(bytes);
            let Ok(value) = serde_json::from_str::<Box<RawValue>>(&text_of) else {
                return;
            };
            let _ = (
                text(Some(&value)),
                sentence(Some(&value)),
                number(Some(&value)),
            );
            let readable = readable(value.get());
            // Depth and size of numbers are bounds of the reader.
            if let Err(error) = serde_json::from_str::<serde_json::Value>(&readable) {
                assert!(!error.to_string().contains("escape"), "{error}");
            }
        });
    }

    #[test]
    fn numbers_and_flags_are_taken_in_every_dress() {
        let object = r#"{"a":12.5,"b":null,"c":"7","d":1e400,"e":{},"f":9007199254740993,"g":true,"h":"true","i":1,"j":0,"k":"no"}"#;
        let object = Object::parse(object).expect("an object");
        let numbers = ["a", "b", "c", "d", "e", "f", "x"].map(|name| object.whole(name));
        assert_eq!(numbers, [12, 0, 7, 0, 0, 9_007_199_254_740_993, 0]);
        let flags = ["b", "g", "h", "i", "j", "k", "x"].map(|name| object.flag(name));
        assert_eq!(flags, [false, true, true, true, false, false, false]);
    }

    #[test]
    fn an_error_is_its_message_in_whatever_shape_it_comes() {
        for (json, said) in [
            (r#""plain""#, "plain"),
            (r#"{"message":"inner","code":4}"#, "inner"),
            (r#"{"error":{"message":"deeper"}}"#, "deeper"),
            (r#"{"code":4}"#, r#"{"code":4}"#),
            ("null", ""),
        ] {
            assert_eq!(sentence(Some(&raw(json))), said);
        }
    }
}
