//! The `quarterdeck` binary.

fn main() {
    eprintln!("quarterdeck: not built yet; the contract stands in proto/quarterdeck/v1");
    std::process::exit(69);
}
