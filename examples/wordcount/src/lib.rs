//! A distributed word count, the job that the binaries of this package do on an rpcnet cluster.
//!
//! This library holds the parts of the roles that need no network: words, and how text is cut without changing the
//! counts ([`count_words`], [`Chunker`]); the counted files ([`Corpus`]); the configuration of the binaries
//! ([`DirectorArgs`], [`WorkerArgs`], [`ClientArgs`]); the client's reports to the demo ([`ClientLine`]); and the
//! demo's display ([`Display`]).

mod corpus;
pub mod demo;
mod display;
mod report;
pub mod roles;
mod service;
mod settings;
mod text;

pub use corpus::{Chunk, Chunks, Corpus, CorpusError, SkipReason, Skipped, TextFile};
pub use display::{Display, Happening, Line, MemberRow, MemberState, Rate, Role, Snapshot, Tone, render};
pub use report::{
    ClientLine, DemoReport, Done, Histogram, HistogramError, Progress, RollingReport, Tally, WordFrequency,
    unix_micros,
};
pub use service::{CountError, Counted, MAX_TEXT_BYTES, WordCount, WordCountClient, WordCountServer};
pub use settings::{
    CallerArgs, CallerSettings, Certificates, ClientArgs, ClientSettings, DEVELOPMENT_CERTIFICATES,
    DirectorArgs, DirectorSettings, NodeArgs, Origin, SettingsError, SharedArgs, SharedSettings,
    USAGE_EXIT_CODE, WorkerArgs, WorkerSettings,
};
pub use text::{
    Chunker, Counts, DEFAULT_CHUNK_BYTES, MAX_WORD_BYTES, NotText, TextCheck, WordCounter, count_words,
    merge, multiply, top,
};
