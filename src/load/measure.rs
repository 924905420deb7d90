//! What is measured of a request: each figure's name, and where it begins and ends.
//!
//! Core. The one place that defines them; `docs/load.md` shows the same on a picture.

/// A duration that is measured of requests, in microseconds where it is kept, in milliseconds where shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Measure {
    Ttft,
    TtftReasoning,
    TtftText,
    TtftCall,
    FirstCall,
    Itl,
    ItlToken,
    Tpot,
    E2e,
    Response,
    ResponseTtft,
    Headers,
    Dns,
    Tcp,
    Tls,
    Connect,
    Queued,
    Send,
    Loop,
    StartLag,
    ReadLag,
}

impl Measure {
    /// All, in the order they are listed to users.
    pub const ALL: [Measure; 21] = [
        Measure::Ttft,
        Measure::TtftReasoning,
        Measure::TtftText,
        Measure::TtftCall,
        Measure::FirstCall,
        Measure::Itl,
        Measure::ItlToken,
        Measure::Tpot,
        Measure::E2e,
        Measure::Response,
        Measure::ResponseTtft,
        Measure::Headers,
        Measure::Dns,
        Measure::Tcp,
        Measure::Tls,
        Measure::Connect,
        Measure::Queued,
        Measure::Send,
        Measure::Loop,
        Measure::StartLag,
        Measure::ReadLag,
    ];

    /// The word used in files, flags and reports.
    pub fn id(self) -> &'static str {
        match self {
            Measure::Ttft => "ttft",
            Measure::TtftReasoning => "ttft_reasoning",
            Measure::TtftText => "ttft_text",
            Measure::TtftCall => "ttft_call",
            Measure::FirstCall => "first_call",
            Measure::Itl => "itl",
            Measure::ItlToken => "itl_token",
            Measure::Tpot => "tpot",
            Measure::E2e => "e2e",
            Measure::Response => "response",
            Measure::ResponseTtft => "response_ttft",
            Measure::Headers => "headers",
            Measure::Dns => "dns",
            Measure::Tcp => "tcp",
            Measure::Tls => "tls",
            Measure::Connect => "connect",
            Measure::Queued => "queued",
            Measure::Send => "send",
            Measure::Loop => "loop",
            Measure::StartLag => "start_lag",
            Measure::ReadLag => "read_lag",
        }
    }

    /// The measure of this word.
    pub fn of(id: &str) -> Option<Measure> {
        Measure::ALL.into_iter().find(|one| one.id() == id)
    }

    /// Where it begins and where it ends, in one line.
    pub fn definition(self) -> &'static str {
        match self {
            Measure::Ttft => {
                "from the request's last byte sent to the arrival of the first event that carries output"
            }
            Measure::TtftReasoning => {
                "from the request's last byte sent to the first event that carries reasoning"
            }
            Measure::TtftText => {
                "from the request's last byte sent to the first event that carries text"
            }
            Measure::TtftCall => {
                "from the request's last byte sent to the first event that carries a part of a tool call"
            }
            Measure::FirstCall => {
                "from the request's last byte sent to the event that completes the first tool call"
            }
            Measure::Itl => {
                "between the arrivals of two events that carry output and follow each other"
            }
            Measure::ItlToken => {
                "the same gap divided by the answer's mean streamed tokens per event; needs the provider's token count"
            }
            Measure::Tpot => {
                "from first to last output event, divided by the streamed tokens after the first; needs the provider's token count"
            }
            Measure::E2e => {
                "from the moment the request is handed to the connection (connecting included) to its last byte"
            }
            Measure::Response => {
                "from the moment the request was to start (open loop: its place in the schedule) to its last byte"
            }
            Measure::ResponseTtft => {
                "from the moment the request was to start to the first event that carries output"
            }
            Measure::Headers => "from the request's last byte sent to the response head",
            Measure::Dns => "name resolution, where one was needed",
            Measure::Tcp => "the TCP handshake of a new connection",
            Measure::Tls => "the TLS handshake of a new connection",
            Measure::Connect => "name resolution, TCP and TLS of a new connection together",
            Measure::Queued => {
                "waiting for a place on a shared HTTP/2 connection, on a new one until the server has said how many it allows"
            }
            Measure::Send => {
                "from a connection being there to the write that gave the request's last byte to the kernel"
            }
            Measure::Loop => {
                "a whole conversation: from its first request to its last byte, without think time"
            }
            Measure::StartLag => {
                "how much later than intended this program handed a request to the connection"
            }
            Measure::ReadLag => {
                "how long what is there waits until this program reads it, at moments that a timer of the kernel tells"
            }
        }
    }

    pub(in crate::load) fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use crate::load::measure::*;

    #[test]
    fn words_and_places_are_unique() {
        for (place, one) in Measure::ALL.into_iter().enumerate() {
            assert_eq!(one.index(), place);
            assert_eq!(Measure::of(one.id()), Some(one));
        }
    }
}
