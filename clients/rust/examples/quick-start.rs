//! Talks to an agent: `cargo run --example quick-start`, with `QUARTERDECK_KEY` set to a server's key and, where it is
//! elsewhere, `QUARTERDECK_ADDR` to its address.

use quarterdeck::client::{Client, ClientOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::new(ClientOptions::from_environment())?;
    let mut chat = client.chat("demo", "hello there");
    while let Some(piece) = chat.next().await {
        print!("{}", piece?);
    }
    Ok(())
}
