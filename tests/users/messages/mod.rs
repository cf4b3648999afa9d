//! Messages about users' mistakes: `messages.md` has each mistake with its whole message, for people to read.
//!
//! Each message says what happened, to whom, and what to do next, on one line that begins in lower case, and printing
//! its chain of sources says nothing twice. Where a message is to change, `MESSAGES=overwrite cargo test -p
//! rpcnet-tests --test users messages` writes the file anew: read the difference.

mod calls;
mod certificates;
mod clusters;
mod configuration;
mod table;

use self::table::Table;

#[tokio::test]
async fn each_mistake_has_its_message() {
    let mut table = Table::default();
    configuration::addresses(&mut table).await;
    configuration::settings(&mut table).await;
    certificates::texts(&mut table);
    certificates::handshakes(&mut table).await;
    certificates::reloads(&mut table).await;
    configuration::servers(&mut table).await;
    calls::registration(&mut table);
    calls::calls(&mut table).await;
    clusters::nodes(&mut table).await;
    clusters::channels(&mut table).await;
    table.compare();
}
