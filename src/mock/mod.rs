//! Mocked providers: what they send, and how they misbehave on purpose.
//!
//! The mock writes its wire form on its own. It must never use the client's encoder or decoder, so
//! that one mistake cannot hide on both sides.

pub mod outgoing;
pub mod outgoing_frame;
pub mod run;

pub mod mutate;
mod pointer;

pub mod fault_file;

mod files;

pub mod first_times;
pub mod gap_fault;
pub mod http_fault;

pub mod script;

pub mod data;

pub mod route;

pub mod sigv4;

pub mod chosen;

pub mod refusal;

pub mod issued;

pub mod admit;

pub mod agent;

pub mod aws;
pub mod sessions;

pub mod pattern;

pub mod satisfy;

pub mod pace;

pub mod answer;

pub mod question;

pub mod code_tool;

pub mod plain_model;

pub mod ask;

pub mod items;

pub mod ask_chat;

pub mod ask_converse;

pub mod messages;

pub mod namer;

pub mod outgoing_response;

pub mod outgoing_chat;

pub mod outgoing_converse;

pub mod listing;

pub mod outgoing_invoke;

pub mod guard;

mod agents;

mod instead;

mod compatible;
mod native;
mod needs;

pub mod memory;

pub mod lateness;
pub mod truth;

pub mod stamped;

pub mod sending;

mod serving;

pub mod server;
