//! An HTTP/1.1 answer in its bytes: where its head ends, and which of what follows is its body (RFC 9112).
//!
//! Pure: no socket, no clock. Heads are parsed by `httparse`; what a body's length goes by, and the chunks, are here. As
//! strict as hyper, which Codex and `check` use, but that fields behind the last chunk are passed over unread, and a head
//! or a chunk's size may not be as long.

/// What the head of an answer may take with the interim ones before it, in bytes.
pub(super) const LONGEST_HEAD: usize = 64 * 1024;

/// Fields of a head, at most; hyper's number.
const FIELDS: usize = 100;

/// What the extensions of all chunks of an answer may take, and what may stand behind the last chunk, in bytes;
/// hyper's numbers.
const EXTENSIONS: u32 = 16 * 1024;
const TRAILERS: u32 = 16 * 1024;

/// What a chunk's size may take with the zeros before it and the spaces behind it, in bytes.
const SIZE: u32 = 1024;

/// Why an answer cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("what came is no HTTP/1.1 answer: {0}")]
    Head(httparse::Error),
    #[error("the head of the answer is longer than {LONGEST_HEAD} bytes")]
    LongHead,
    #[error("content-length is not one number")]
    Length,
    #[error("an answer in HTTP/1.0 has no transfer-encoding")]
    Encoding,
    #[error("malformed chunk: {0}")]
    Chunk(&'static str),
}

/// A head, and what it says of the bytes behind it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AnswerHead {
    pub(super) status: u16,
    /// Names in lower case, in their order; values decoded lossily.
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Body,
    /// The server keeps the connection open after the body's end.
    pub(super) kept: bool,
    /// Bytes up to its end, interim heads before it included.
    pub(super) len: usize,
}

/// What the bytes of an answer begin with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Head(AnswerHead),
    /// More has to come. So many bytes are of interim heads (1xx), which say nothing.
    Part(usize),
}

/// The first head in these bytes that is not an interim one.
pub(super) fn head(bytes: &[u8]) -> Result<Found, Malformed> {
    let mut begin = 0;
    loop {
        let mut space = [httparse::EMPTY_HEADER; FIELDS];
        let mut answer = httparse::Response::new(&mut space);
        let len = match answer.parse(&bytes[begin..]).map_err(Malformed::Head)? {
            httparse::Status::Complete(len) => len,
            httparse::Status::Partial => return Ok(Found::Part(begin)),
        };
        begin += len;
        let status = answer.code.unwrap_or_default();
        if status < 100 {
            return Err(Malformed::Head(httparse::Error::Status));
        }
        // 101 ends HTTP on this connection: nobody asked for that, and nothing behind it is read.
        if status < 200 && status != 101 {
            continue;
        }
        let old = answer.version == Some(0);
        let fields = answer.headers;
        let body = Body::of(status, old, fields)?;
        return Ok(Found::Head(AnswerHead {
            status,
            body,
            kept: body != Body::ToTheEnd && status != 101 && is_kept(old, fields),
            fields: fields
                .iter()
                .map(|field| {
                    let value = String::from_utf8_lossy(field.value).into_owned();
                    (field.name.to_ascii_lowercase(), value)
                })
                .collect(),
            len: begin,
        }));
    }
}

/// The values of a field, each a list of its own.
fn values<'a>(
    fields: &'a [httparse::Header<'a>],
    name: &'static str,
) -> impl Iterator<Item = &'a [u8]> {
    fields
        .iter()
        .filter(move |field| field.name.eq_ignore_ascii_case(name))
        .flat_map(|field| field.value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

/// RFC 9112, section 9.3.
fn is_kept(old: bool, fields: &[httparse::Header<'_>]) -> bool {
    let says = |word: &str| {
        values(fields, "connection").any(|one| one.eq_ignore_ascii_case(word.as_bytes()))
    };
    !says("close") && (!old || says("keep-alive"))
}

/// What of the bytes behind a head is its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes more.
    Length(u64),
    Chunks(Chunks),
    /// All, until the connection ends.
    ToTheEnd,
}

impl Body {
    /// RFC 9112, section 6.3, for an answer to anything but HEAD and CONNECT.
    fn of(status: u16, old: bool, fields: &[httparse::Header<'_>]) -> Result<Body, Malformed> {
        if matches!(status, 101 | 204 | 304) {
            return Ok(Body::Length(0));
        }
        if let Some(last) = values(fields, "transfer-encoding").last() {
            return match last.eq_ignore_ascii_case(b"chunked") {
                _ if old => Err(Malformed::Encoding),
                true => Ok(Body::Chunks(Chunks::new())),
                false => Ok(Body::ToTheEnd),
            };
        }
        let mut length = None;
        for value in values(fields, "content-length") {
            let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(value).ok().filter(|_| digits);
            let number: u64 = number
                .and_then(|number| number.parse().ok())
                .ok_or(Malformed::Length)?;
            if *length.get_or_insert(number) != number {
                return Err(Malformed::Length);
            }
        }
        Ok(length.map_or(Body::ToTheEnd, Body::Length))
    }

    /// Whether nothing more belongs to it.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Body::Length(left) => *left == 0,
            Body::Chunks(chunks) => chunks.at == At::Done,
            Body::ToTheEnd => false,
        }
    }

    /// Whether it ends where the connection does.
    pub(super) fn may_end(&self) -> bool {
        self.is_whole() || *self == Body::ToTheEnd
    }

    /// The next part of the body among the bytes that came, which moves past it. `None`: there is no more in them, or the
    /// body is whole and what is left belongs to nobody.
    pub(super) fn next<'a>(&mut self, came: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
        let part = match self {
            Body::ToTheEnd => came.len(),
            Body::Length(left) => take(left, came.len()),
            Body::Chunks(chunks) => chunks.next(came)?,
        };
        if part == 0 {
            return Ok(None);
        }
        let (part, rest) = came.split_at(part);
        *came = rest;
        Ok(Some(part))
    }
}

/// Takes at most so many bytes off what is left; how many.
fn take(left: &mut u64, came: usize) -> usize {
    let taken = usize::try_from(*left).map_or(came, |left| left.min(came));
    *left -= taken as u64;
    taken
}

/// Where in a chunked body the next byte stands (RFC 9112, section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunks {
    at: At,
    /// The size of this chunk as far as it was read, then what is left of the chunk.
    left: u64,
    /// Bytes of this size.
    size: u32,
    extensions: u32,
    trailers: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the first digit of a size.
    Size,
    Digits,
    /// Spaces behind a size.
    Space,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The beginning of a line behind the last chunk.
    Line,
    Trailer,
    TrailerLf,
    LastLf,
    Done,
}

impl Chunks {
    fn new() -> Chunks {
        Chunks {
            at: At::Size,
            left: 0,
            size: 0,
            extensions: 0,
            trailers: 0,
        }
    }

    /// Moves past the framing; how many of the bytes that are left then are of a chunk.
    fn next(&mut self, came: &mut &[u8]) -> Result<usize, Malformed> {
        loop {
            match self.at {
                At::Data => {
                    let taken = take(&mut self.left, came.len());
                    if self.left == 0 {
                        self.at = At::DataCr;
                    }
                    return Ok(taken);
                }
                At::Done => return Ok(0),
                _ => {}
            }
            let Some((byte, rest)) = came.split_first() else {
                return Ok(0);
            };
            *came = rest;
            self.at = self.step(*byte)?;
        }
    }

    /// Where the byte behind this one stands.
    fn step(&mut self, byte: u8) -> Result<At, Malformed> {
        let wrong = |what| Err(Malformed::Chunk(what));
        if matches!(self.at, At::Size | At::Digits | At::Space) {
            self.size = if self.at == At::Size {
                0
            } else {
                self.size + 1
            };
            if self.size >= SIZE {
                return wrong("its size never ends");
            }
        }
        Ok(match (self.at, byte) {
            (At::Size | At::Digits, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = (byte as char).to_digit(16).unwrap_or_default();
                let shifted = self.left.checked_mul(16);
                let size = shifted.and_then(|size| size.checked_add(digit.into()));
                self.left = size.ok_or(Malformed::Chunk("its size is beyond all measure"))?;
                At::Digits
            }
            (At::Size, _) => return wrong("its size is missing"),
            (At::Digits | At::Space, b' ' | b'\t') => At::Space,
            (At::Digits | At::Space, b';') => At::Extension,
            (At::Digits | At::Space | At::Extension, b'\r') => At::SizeLf,
            (At::Digits | At::Space, _) => return wrong("its size is not a hexadecimal number"),
            (At::Extension, b'\n') => return wrong("its extension holds a line feed"),
            (At::Extension, _) => {
                self.extensions += 1;
                if self.extensions >= EXTENSIONS {
                    return wrong("too much stands beside the sizes");
                }
                At::Extension
            }
            (At::SizeLf, b'\n') if self.left == 0 => At::Line,
            (At::SizeLf, b'\n') => At::Data,
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::Size,
            (At::DataCr | At::DataLf, _) => return wrong("it is longer than its size"),
            (At::Line, b'\r') => At::LastLf,
            (At::LastLf, b'\n') => At::Done,
            (At::Trailer, b'\r') => At::TrailerLf,
            (At::TrailerLf, b'\n') => At::Line,
            (At::Line | At::Trailer, _) => {
                self.trailers += 1;
                if self.trailers >= TRAILERS {
                    return wrong("too much stands behind the last one");
                }
                At::Trailer
            }
            (At::SizeLf | At::TrailerLf | At::LastLf, _) => {
                return wrong("a carriage return stands alone");
            }
            (At::Data | At::Done, _) => self.at,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::transport::framing::*;

    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n";

    fn whole(found: Found) -> AnswerHead {
        match found {
            Found::Head(head) => head,
            Found::Part(_) => panic!("more has to come"),
        }
    }

    /// The body, whether it is whole, and what is behind it, of an answer that comes in pieces.
    fn read(pieces: &[&[u8]]) -> Result<(Vec<u8>, bool, Vec<u8>), Malformed> {
        let mut before = Vec::new();
        let mut body: Option<Body> = None;
        let (mut text, mut behind) = (Vec::new(), Vec::new());
        for piece in pieces {
            let mut came = *piece;
            if body.is_none() {
                before.extend_from_slice(piece);
                match head(&before)? {
                    Found::Part(interim) => {
                        before.drain(..interim);
                        continue;
                    }
                    Found::Head(found) => {
                        body = Some(found.body);
                        came = &before[found.len..];
                    }
                }
            }
            let body = body.as_mut().unwrap();
            while let Some(part) = body.next(&mut came)? {
                assert!(!part.is_empty());
                text.extend_from_slice(part);
            }
            assert!(came.is_empty() || body.is_whole());
            behind.extend_from_slice(came);
        }
        Ok((text, body.is_some_and(|body| body.is_whole()), behind))
    }

    #[test]
    fn an_answer_is_the_same_wherever_it_is_split() {
        let length = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 11, 11\r\n\r\nhello world";
        let chunks =
            format!("{CHUNKED}5 \r\nhello\r\n006;a=\"b\"\r\n world\r\n0;x\r\nt: 1\r\n\r\n");
        for text in [length, &chunks] {
            let text = format!("{text}HTTP/1.1 2");
            for split in 0..text.len() {
                let (before, after) = text.as_bytes().split_at(split);
                let ends: Vec<&[u8]> = after.chunks(1).collect();
                for pieces in [vec![before, after], [vec![before], ends].concat()] {
                    let (body, whole, behind) = read(&pieces).unwrap();
                    assert_eq!(body, b"hello world", "{split}");
                    assert!(whole && behind == b"HTTP/1.1 2", "{split}");
                }
            }
        }
    }

    #[test]
    fn what_a_body_goes_by() {
        let all = |fields: &str| head(format!("{fields}\r\n\r\n").as_bytes());
        let body = |fields: &str| all(fields).map(|found| whole(found).body);
        let chunked = Ok(Body::Chunks(Chunks::new()));
        for (fields, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3", Ok(Body::Length(3))),
            (
                "HTTP/1.1 200\r\nContent-Length: 3\r\ncontent-length: 3",
                Ok(Body::Length(3)),
            ),
            ("HTTP/1.1 200 OK", Ok(Body::ToTheEnd)),
            ("HTTP/1.1 204 No\r\ncontent-length: 3", Ok(Body::Length(0))),
            (
                "HTTP/1.1 304 No\r\ntransfer-encoding: chunked",
                Ok(Body::Length(0)),
            ),
            ("HTTP/1.1 101 Up\r\ncontent-length: 3", Ok(Body::Length(0))),
            (
                "HTTP/1.1 429 No\r\ncontent-length: 3\r\ntransfer-encoding: CHUNKED",
                chunked.clone(),
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\ntransfer-encoding: chunked",
                chunked,
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip",
                Ok(Body::ToTheEnd),
            ),
            (
                "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked",
                Err(Malformed::Encoding),
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4",
                Err(Malformed::Length),
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 3, 4",
                Err(Malformed::Length),
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: +3",
                Err(Malformed::Length),
            ),
            ("HTTP/1.1 200 OK\r\ncontent-length:", Err(Malformed::Length)),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999",
                Err(Malformed::Length),
            ),
            (
                "SSH-2.0-OpenSSH_9",
                Err(Malformed::Head(httparse::Error::Version)),
            ),
        ] {
            assert_eq!(body(fields), expected, "{fields}");
        }
        for (fields, kept) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 3", true),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked", true),
            ("HTTP/1.1 200 OK", false),
            ("HTTP/1.1 101 Up", false),
            ("HTTP/1.1 204 No\r\nConnection: x, Close", false),
            ("HTTP/1.0 200 OK\r\ncontent-length: 3", false),
            (
                "HTTP/1.0 200 OK\r\ncontent-length: 3\r\nconnection: Keep-Alive",
                true,
            ),
        ] {
            assert_eq!(whole(all(fields).unwrap()).kept, kept, "{fields}");
        }
    }

    #[test]
    fn names_are_in_lower_case_and_fields_have_a_number() {
        let found = head(b"HTTP/1.1 200 OK\r\nX-One: a\r\nx-one: \xff b \r\n\r\n").unwrap();
        let field = |value: &str| ("x-one".to_owned(), value.to_owned());
        assert_eq!(whole(found).fields, [field("a"), field("\u{fffd} b")]);
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(FIELDS + 1));
        assert_eq!(
            head(many.as_bytes()),
            Err(Malformed::Head(httparse::Error::TooManyHeaders))
        );
    }

    #[test]
    fn chunks_that_are_none_are_refused() {
        for (chunk, whole) in [
            ("2\r\nab\r\n0\r\n\r\n", Some(true)),
            ("2\r\nab\r\n0\r\n", Some(false)),
            ("FFFFFFFFFFFFFFFF\r\nab", Some(false)),
            ("1FFFFFFFFFFFFFFFF\r\nab", None),
            ("2\nab\r\n", None),
            ("2\r\nabc\r\n", None),
            ("2\r\nab\n", None),
            ("2\rxab", None),
            ("\r\nab", None),
            ("-2\r\nab", None),
            ("0x2\r\nab", None),
            ("2;a\nb\r\nab", None),
            ("0\r\n\rx", None),
            ("0\r\nt: 1\rx", None),
        ] {
            let outcome = read(&[CHUNKED.as_bytes(), chunk.as_bytes()]);
            assert_eq!(outcome.ok().map(|(_, whole, _)| whole), whole, "{chunk:?}");
        }
        for flood in ["1;a\r\nx\r\n", "1;aaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n"] {
            let flood = flood.repeat(EXTENSIONS as usize);
            assert!(read(&[CHUNKED.as_bytes(), flood.as_bytes()]).is_err());
        }
        for size in ["0".repeat(3000), format!("5{}", " ".repeat(3000))] {
            let text = format!("{size}\r\nhello\r\n0\r\n\r\n");
            assert!(read(&[CHUNKED.as_bytes(), text.as_bytes()]).is_err());
        }
        let padded = format!("{}0\r\n\r\n", "0000000005    \r\nhello\r\n".repeat(3000));
        assert!(read(&[CHUNKED.as_bytes(), padded.as_bytes()]).unwrap().1);
        let trailers = format!("0\r\n{}", "t: 1\r\n".repeat(TRAILERS as usize));
        assert!(read(&[CHUNKED.as_bytes(), trailers.as_bytes()]).is_err());
    }
}
