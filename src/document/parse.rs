//! YAML text to a tree: syntax, duplicate keys, aliases and limits.
//!
//! Follows the parser's events with an explicit stack, so nesting costs no stack of ours, and stops
//! at the first event past a limit.

use std::collections::{HashMap, HashSet};

use serde_yaml::granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, Tag};

use crate::diagnostic::{Place, cut_to};
use crate::document::tree::{Key, Kind, Node};
use crate::document::{MAX_DEPTH, MAX_NODES, Problem};

/// A list or mapping that is not finished.
struct Open {
    place: Place,
    anchor: usize,
    /// Nodes counted before it began, to know how many it has.
    nodes_before: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map {
        entries: Vec<(Key, Node)>,
        names: HashSet<String>,
        /// A key that waits for its value.
        key: Option<Key>,
    },
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    /// Finished anchored nodes, with the number of nodes each stands for.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

pub(crate) fn parse(text: &str, what: &str) -> Result<Node, Problem> {
    let mut builder = Builder::default();
    let mut documents = 0;
    for step in Parser::new_from_str(text) {
        let (event, span) = step.map_err(|error| syntax(&error))?;
        let place = place(&span);
        match event {
            Event::DocumentStart(..) => {
                documents += 1;
                if documents > 1 {
                    return Err(Problem::new("a second document begins here")
                        .help("write one document per file, without another `---`")
                        .at(place));
                }
            }
            Event::Scalar(value, style, anchor, tag) => {
                builder.scalar(place, &value, style, anchor, tag.as_deref())?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                collection_tag(tag.as_deref(), "seq", place)?;
                builder.open(place, anchor, Content::List(Vec::new()))?;
            }
            Event::MappingStart(_, anchor, tag) => {
                collection_tag(tag.as_deref(), "map", place)?;
                let content = Content::Map {
                    entries: Vec::new(),
                    names: HashSet::new(),
                    key: None,
                };
                builder.open(place, anchor, content)?;
            }
            Event::SequenceEnd | Event::MappingEnd => builder.close()?,
            Event::Alias(anchor) => builder.alias(place, anchor)?,
            _ => {}
        }
    }
    match builder.root {
        Some(root) if !matches!(root.kind, Kind::Null) => Ok(root),
        _ => Err(Problem::new(format!("the file is empty, expected {what}"))
            .help("docs/scenarios.md has an example of each kind of file")
            .at(Place::START)),
    }
}

impl Builder {
    fn count(&mut self, nodes: usize, place: Place) -> Result<(), Problem> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return Err(Problem::new(format!(
                "the document has more than {MAX_NODES} values once its aliases are followed"
            ))
            .help("split the file, or write out what the aliases repeat")
            .at(place));
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        place: Place,
        value: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
    ) -> Result<(), Problem> {
        self.count(1, place)?;
        if self.expects_key() {
            return self.key(place, value, style, tag);
        }
        let kind = match tag {
            None if style == ScalarStyle::Plain => {
                Kind::plain(value).map_err(|problem| problem.at(place))?
            }
            None => Kind::Text(value.to_string()),
            Some(tag) if tag.core_suffix() == Some("str") => Kind::Text(value.to_string()),
            Some(tag) => return Err(unknown_tag(tag, place)),
        };
        let node = Node { place, kind };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), 1));
        }
        self.put(node)
    }

    fn expects_key(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Open {
                content: Content::Map { key: None, .. },
                ..
            })
        )
    }

    fn key(
        &mut self,
        place: Place,
        value: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
    ) -> Result<(), Problem> {
        if let Some(tag) = tag {
            return Err(unknown_tag(tag, place));
        }
        if value == "<<" && style == ScalarStyle::Plain {
            return Err(Problem::new("merge keys (`<<`) are not supported")
                .help("write the keys out")
                .at(place));
        }
        let Some(Open {
            content: Content::Map { names, key, .. },
            ..
        }) = self.open.last_mut()
        else {
            return Ok(());
        };
        if !names.insert(value.to_string()) {
            return Err(
                Problem::new(format!("the key `{}` is given twice", cut_to(value, 60)))
                    .help("remove one of the two; the first would be lost silently")
                    .at(place),
            );
        }
        *key = Some(Key {
            place,
            name: value.to_string(),
        });
        Ok(())
    }

    fn open(&mut self, place: Place, anchor: usize, content: Content) -> Result<(), Problem> {
        if self.expects_key() {
            return Err(complex_key(place));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(place));
        }
        let nodes_before = self.nodes;
        self.count(1, place)?;
        self.open.push(Open {
            place,
            anchor,
            nodes_before,
            content,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Problem> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let node = Node {
            place: open.place,
            kind: match open.content {
                Content::List(items) => Kind::List(items),
                Content::Map { entries, .. } => Kind::Map(entries),
            },
        };
        if open.anchor != 0 {
            let size = self.nodes - open.nodes_before;
            self.count(size, open.place)?; // the copy that aliases are made from
            self.anchors.insert(open.anchor, (node.clone(), size));
        }
        self.put(node)
    }

    fn alias(&mut self, place: Place, anchor: usize) -> Result<(), Problem> {
        if self.expects_key() {
            return Err(complex_key(place));
        }
        let Some(size) = self.anchors.get(&anchor).map(|(_, size)| *size) else {
            return Err(
                Problem::new("this alias stands inside the value it refers to")
                    .help("write the value out")
                    .at(place),
            );
        };
        self.count(size, place)?;
        let Some((node, _)) = self.anchors.get(&anchor) else {
            return Ok(());
        };
        if self.open.len() + depth(node) > MAX_DEPTH {
            return Err(too_deep(place));
        }
        let node = node.clone();
        self.put(node)
    }

    fn put(&mut self, node: Node) -> Result<(), Problem> {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(open) => match &mut open.content {
                Content::List(items) => items.push(node),
                Content::Map { entries, key, .. } => {
                    if let Some(key) = key.take() {
                        entries.push((key, node));
                    }
                }
            },
        }
        Ok(())
    }
}

/// Levels of lists and mappings; never more than [`MAX_DEPTH`], by construction.
fn depth(node: &Node) -> usize {
    match &node.kind {
        Kind::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Kind::Map(entries) => {
            1 + entries
                .iter()
                .map(|(_, node)| depth(node))
                .max()
                .unwrap_or(0)
        }
        _ => 0,
    }
}

fn place(span: &Span) -> Place {
    let (start, end) = (span.start, span.end);
    Place {
        line: start.line().max(1),
        column: start.col() + 1,
        // Only what stands on one line is marked as a whole.
        len: if end.line() == start.line() {
            end.col().saturating_sub(start.col()).max(1)
        } else {
            1
        },
    }
}

fn too_deep(place: Place) -> Problem {
    Problem::new(format!(
        "lists and mappings are nested deeper than {MAX_DEPTH} levels"
    ))
    .help("flatten it")
    .at(place)
}

fn complex_key(place: Place) -> Problem {
    Problem::new("a key must be plain text")
        .help("a text that begins with `{`, `[` or `*` needs quotes")
        .at(place)
}

fn collection_tag(tag: Option<&Tag>, core: &str, place: Place) -> Result<(), Problem> {
    match tag {
        Some(tag) if tag.core_suffix() != Some(core) => Err(unknown_tag(tag, place)),
        _ => Ok(()),
    }
}

fn unknown_tag(tag: &Tag, place: Place) -> Problem {
    Problem::new(format!(
        "the tag `{}` is not supported",
        cut_to(&tag.original(), 60)
    ))
    .help("a text that begins with `!` needs quotes")
    .at(place)
}

fn syntax(error: &ScanError) -> Problem {
    let marker = error.marker();
    let deep = format!("lists and mappings are nested deeper than {MAX_DEPTH} levels");
    let (message, help) = match error.kind() {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart => {
            ("a tab cannot indent YAML".to_string(), "use spaces")
        }
        ErrorKind::UnknownAnchor => (
            "this alias names an anchor that does not exist".to_string(),
            "a text that begins with `*` needs quotes",
        ),
        ErrorKind::RecursionLimitExceeded => (deep, "flatten it"),
        ErrorKind::UnclosedFlowCollection { open } => (
            format!("this `{open}` is never closed"),
            if *open == '[' { "add `]`" } else { "add `}`" },
        ),
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => (
            format!("`{open}` is closed by `{close}`"),
            "close brackets in the order they were opened",
        ),
        ErrorKind::UnclosedQuotedScalar => (
            "this quote is never closed".to_string(),
            "add the same quote at the end of the text",
        ),
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::InvalidIndentation => (
            "this does not line up with the lines above".to_string(),
            "begin all keys of a mapping, and all `- ` of a list, in the same column",
        ),
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => (
            "a second `: ` cannot stand here".to_string(),
            "put a text with `: ` in it in quotes",
        ),
        other => (
            format!("this is not YAML: {other}"),
            "check indentation and quotes here and just above; a text with `: ` or ` #` in it needs quotes",
        ),
    };
    Problem::new(message).help(help).at(Place {
        line: marker.line().max(1),
        column: marker.col() + 1,
        len: 1,
    })
}
