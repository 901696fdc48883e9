//! The kinds that the server knows are those of the contract.

use prost_reflect::DescriptorPool;
use quarterdeck::{domain::event::KINDS, proto};

/// A kind that is missing on one side is never delivered, or can't be asked for.
#[test]
fn every_kind_of_the_contract_is_known_by_its_number_and_name() {
    let contract = DescriptorPool::decode(proto::DESCRIPTORS).expect("the contract");
    let event = contract
        .get_message_by_name("quarterdeck.v1.GatewayEvent")
        .expect("the event");
    let kind = event
        .oneofs()
        .find(|one| one.name() == "kind")
        .expect("its kinds");
    let mut told: Vec<_> = kind
        .fields()
        .map(|field| (field.number(), field.name().to_owned()))
        .collect();
    told.sort();
    let mut known: Vec<_> = KINDS
        .iter()
        .map(|(kind, name)| (u32::from(kind.0), (*name).to_owned()))
        .collect();
    known.sort();
    assert_eq!(told, known);
}
