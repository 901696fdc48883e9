//! The attack surface, and the test that shows each control. A row without a test names its reason.
//!
//! | surface | control | shown by |
//! |---|---|---|
//! | API keys | high-entropy secret, kept as a keyed hash, one answer for every wrong one | `every_wrong_credential_gets_the_same_answer`, `secrets_are_not_in_the_store`, `a_new_key_is_read_back_and_no_two_are_alike`, `a_changed_letter_anywhere_is_noticed` |
//! | API keys: timing | unknown and known ids take the same time | `a_known_id_is_refused_no_sooner_and_no_later` where it is asked for: noise on shared cores makes no gate |
//! | Revocation | refused at once, and what is open ends | `a_revoked_key_is_refused_at_once_and_for_ever`, `an_expired_key_is_refused`, `revocation_ends_what_is_open`, `expiry_ends_what_is_open`, `a_revoked_key_takes_its_waiting_turns_along` |
//! | Scopes per RPC | one table, default deny, walked by the descriptor | `every_method_is_declared_with_its_scopes_and_nothing_else_is`, `every_method_needs_its_scopes_and_no_more`, `an_unknown_method_is_refused` |
//! | Scope minting | a new key has no scope that its maker lacks | `a_new_key_has_no_scope_that_its_maker_lacks`, `wrong_wishes_make_no_key` |
//! | Keys: lineage | what a key made ends with it and is revoked with it; what a token made has a bounded life; a bound of keys | `a_key_that_a_key_made_ends_with_it`, `a_revoked_key_takes_along_what_was_made_with_it`, `what_a_key_made_outlives_it_where_that_is_said`, `a_key_that_a_token_made_has_a_bounded_life`, `nobody_revokes_a_key_that_may_do_more`, `a_tenant_has_no_more_keys_than_its_bound` |
//! | Keys: other versions | `*` is given by who holds it; unknown scopes grant nothing and are kept | `a_star_is_given_by_who_holds_one`, `a_list_of_all_names_is_less_than_every_scope`, `scopes_of_other_versions_are_kept_and_grant_nothing`, `the_first_key_of_before_gets_all_scopes_and_no_other_does`, `unknown_scopes_grant_nothing_and_all_are_kept_as_a_star` |
//! | Keys in browsers | exchanged at the sign-in for hours, without `admin.keys`, and kept nowhere | `an_exchanged_credential_dies_with_its_key`, `a_token_is_exchanged_for_no_longer_than_it_lives`, `what_was_sealed_is_opened_by_the_same_pepper_alone` |
//! | Tickets in addresses | for the events of one session, for a minute after their last use, dead with their key, in no log | `a_ticket_opens_the_events_of_its_session_alone`, `a_ticket_lives_while_it_is_used_and_a_minute_more`, `what_was_made_before_the_start_has_a_minute_from_there` |
//! | Keys in transit | the directory's key over its socket alone; to other machines encrypted, or said | `the_directorys_key_never_goes_to_a_port_that_may_be_anybodys`, `the_directorys_own_server_gets_its_key_over_the_socket`, `without_a_socket_the_directorys_key_must_be_named`, `a_key_leaves_this_machine_unencrypted_only_where_that_is_said`, `a_port_of_this_machine_has_several_names` |
//! | Tokens | nobody's own user, no short key, no key set from a private address | `no_token_is_the_machines_own_user`, `short_rsa_keys_are_passed_over`, `an_issuer_sends_nobody_to_a_private_address`, `a_private_address_is_reached_only_where_the_configuration_says_so`, `addresses_that_strangers_cannot_reach_are_private` |
//! | Primary session | made by who may use every session, not by who comes first | `the_primary_session_is_not_claimed_by_who_comes_first` |
//! | Page tokens | sealed, for one caller and one list | `a_page_token_comes_back_from_its_caller_for_its_list_alone`, `any_page_token_is_read_or_refused`, `a_page_token_is_worth_nothing_to_others` |
//! | Log level | one known word; audit records at each of them | `the_log_takes_a_level_and_nothing_else` |
//! | Session ownership | a foreign session is none, on every path | `a_stranger_can_not_tell_a_session_from_none`, `the_end_of_a_share_ends_streams_and_waits`, `shares_that_make_no_sense_are_refused` |
//! | Client certificates | verified against an authority of their own | `client_certificates_are_asked_for_and_verified` |
//! | Bounds of a principal | one at its bound holds nobody up | `a_principal_at_its_bound_holds_nobody_up`, `nobody_waits_for_all_of_somebody_else` |
//! | Places to run | no tenant takes all, or holds one for longer than the operator lets it | `one_tenant_never_takes_every_place`, `the_last_places_are_kept_for_tenants_of_which_nothing_runs`, `timeouts_that_callers_choose_are_bounded` |
//! | Calls that wait | bounded per principal and tenant; stops have places of their own | `calls_that_wait_are_bounded_per_principal_and_tenant`, `streams_of_a_principal_and_of_a_tenant_are_limited`, `each_session_that_is_followed_counts` |
//! | What is stored | counted with what writes it, bounded per principal and tenant, given back | `what_a_principal_stores_is_bounded`, `what_a_tenant_stores_is_bounded_and_a_fork_counts_its_copy`, `the_checker_finds_planted_bugs` |
//! | Neighbours | the store serves tenants in turn, so one's flood is not another's wait | `nobody_waits_behind_all_of_another_tenants_jobs`, `lines_are_served_in_turn_and_each_in_its_order`, `the_last_free_taker_is_kept_for_others`, `the_next_small_commit_is_waited_for_and_the_heavy_one_not_for_long`, `r21_a_hostile_tenant_costs_another_at_most_twice_its_time` |
//! | Reflection, health | reflection can be off, health tells no more than it is asked | `reflection_can_be_switched_off`, `health_and_reflection_answer_by_their_own_rules` |
//! | Browsers, DNS rebinding | a page's call is refused but for listed origins, a foreign host name too | `what_is_no_call_is_told_in_http`, `a_page_of_a_listed_origin_calls_and_a_strangers_does_not`, `a_request_that_names_another_host_reaches_nothing`, `a_request_must_call_us_by_a_name_of_ours`, `a_grpc_caller_is_told_in_grpc_what_is_wrong_with_its_address`, `a_request_that_names_nobody_or_two_is_refused` |
//! | The console | files of the binary alone, each by its one name; a page that can talk to nobody else, in no frame, and only with a key | `no_other_path_and_no_other_method_gives_anything`, `each_file_is_served_under_its_name_and_kept_as_long_as_it_may`, `a_foreign_name_or_page_gets_no_file`, `the_server_has_it_and_can_be_told_not_to`, `a_page_that_came_over_tls_may_call` |
//! | Loopback trust | a key is asked for there too; the first one is in a file of 0600 | `the_first_start_makes_a_key_that_only_its_user_can_read`, `a_key_is_sent_by_itself_to_this_machine_alone` |
//! | TLS | handshakes end in time, files are private and may be replaced | `who_never_shakes_hands_is_cut_and_costs_nobody_else_a_thing`, `changed_files_are_used_without_a_restart_and_broken_ones_are_not`, `files_that_cannot_be_used_are_refused_with_what_to_do` |
//! | Bind rule | beyond loopback only with authentication and encryption | `a_server_beyond_loopback_needs_authentication_and_encryption` |
//! | Webhooks in | signed over the raw body, in constant time, within a window; once per delivery; as one principal with its scopes; never without a secret | `a_signed_delivery_becomes_a_turn_once`, `what_is_not_signed_is_nobodys`, `a_route_does_what_its_principal_may_and_no_more`, `a_webhook_that_would_be_open_to_the_world_is_refused_at_the_start`, `a_standard_delivery_is_known_by_any_secret_and_any_signature`, `two_senders_never_share_a_session`, `what_official_libraries_sign_is_taken_and_what_they_refuse_is_refused` |
//! | Webhooks out | no SSRF: literals and names, looked at for each connection, no redirects; signed, secrets sealed; no loop | `a_redirect_is_not_followed_and_what_is_not_allowed_is_not_called`, `an_address_that_was_allowed_is_looked_at_again`, `addresses_of_private_networks_are_refused_however_they_are_written`, `a_name_that_changes_its_mind_is_refused_at_the_connection`, `official_libraries_take_what_is_sent`, `a_secret_is_sealed_and_shown_once`, `push_notifications_tell_a_task_and_keep_what_its_client_gave`, `a_webhook_that_points_to_its_own_server_makes_no_loop` |
//! | Answer links | off unless configured; one question, as it was asked, once, until its end | `a_question_is_answered_by_its_link_once`, `no_question_carries_a_link_by_default`, `a_link_is_this_servers_for_its_question_until_its_end` |
//! | Schedules | run as their owner, whose key is looked up at each run | `a_schedule_runs_with_its_owners_key_and_stops_with_it`, `a_schedule_that_a_token_made_ends_in_time` |
//! | Connections of one address | one party can't take every slot | `an_address_has_its_share_of_connections_and_no_more`, `one_party_is_counted_under_one_address`, `a_place_is_given_back_and_nothing_is_kept_of_who_left` |
//! | Connections without a credential | a time to the first authenticated call; strangers give way, and places are kept for who is known; a valid credential is taken whatever its address did | `a_connection_without_an_authenticated_call_is_ended`, `strangers_take_nobodys_place`, `strangers_of_an_address_give_way_to_its_callers`, `the_oldest_stranger_gives_way_and_the_known_do_not`, `places_are_kept_for_who_was_known_before`, `of_one_address_its_own_oldest_gives_way`, `a_valid_token_is_taken_whatever_its_address_did` |
//! | Session keys | a narrow grammar, and no part of any path | `bad_session_keys_are_refused_by_every_rpc`, `keys_at_the_edge_of_the_grammar_are_sessions_of_their_own`, `no_directory_is_named_by_a_caller` |
//! | SQL | bound parameters only; what is stored is data | `no_statement_is_put_together_from_what_came_in` |
//! | Messages: bytes | refused by their header, before anything is read | `a_message_that_is_too_large_is_refused_by_its_header`, `messages_beyond_their_bound_are_refused`, `a_large_message_waits_until_there_is_room` |
//! | Metadata: bytes | refused by name, that call alone | `too_much_metadata_is_refused_by_name_and_costs_that_call_alone` |
//! | Messages: what they become | fields are counted before anything is decoded | `fields_are_counted_where_they_stand`, `what_a_message_becomes_is_bounded_on_every_method`, `the_walk_goes_no_deeper_than_its_bound` |
//! | Answers that nobody takes | share one room, are cut after two minutes | `large_answers_share_a_room_and_small_ones_need_none`, `who_leaves_a_large_answer_lying_is_cut` |
//! | JSON depth | no stack is taken by nesting | `nesting_without_end_takes_no_stack` |
//! | Lines of children | bounded, shortened or skipped where longer | `a_line_over_the_bound_is_shortened_or_skipped_in_bounded_memory`, `garbage_and_a_line_over_the_bound_do_not_end_the_stream`, `an_agent_ahead_by_its_bytes_waits` |
//! | Parsers | no input panics or grows memory | `r16_no_bad_input_panics_or_grows_memory`, `no_line_makes_the_machine_panic_or_keep_more_and_more`, `any_bytes_are_walked_and_decoded_without_a_panic`, `any_bytes_are_cut_as_a_split_would_cut_them`, `any_bytes_are_followed_or_refused`, `any_header_is_read_or_refused` |
//! | Compression bombs | what is unpacked is bounded, or compression refused | `r16_hostile_peers_cost_a_healthy_caller_little_and_no_memory_for_good` |
//! | HTTP/2 floods | the connection ends, others feel little | `r16_hostile_peers_cost_a_healthy_caller_little_and_no_memory_for_good`, `a_flood_of_resets_costs_the_connection`, `a_peer_that_says_nothing_or_half_a_word_is_cut` |
//! | Children: environment | cleared, a short list, no key of ours | `an_agent_inherits_a_short_list_and_no_secret`, `an_agent_gets_three_pipes_and_a_short_environment`, `an_agents_environment_is_free_but_for_the_servers_own_marks` |
//! | Children: command | from configuration alone, no secret in it | `no_request_has_a_field_for_a_program_a_path_or_an_environment`, `no_output_shows_a_secret` |
//! | Children: bounds | descriptors, limits, umask, no set-user-id rights, no port | `an_agent_and_what_it_starts_are_confined`, `an_agent_that_oversteps_a_bound_is_stopped_at_it`, `bounds_only_go_down`, `real_pi_opens_no_port_and_lives_within_bounds` |
//! | Agents: what they reach | on each rung, as root and as an ordinary user, what a table says and nothing else | `r19_an_ordinary_users_agent_in_namespaces`, `r19_an_ordinary_users_agent_under_landlock`, `r19_roots_agent_in_namespaces`, `r19_roots_agent_under_landlock`, `an_agent_reaches_what_the_table_says_and_nothing_else`, `an_ordinary_users_agents_reach_what_the_table_says`, `an_agent_has_no_rights_and_is_the_first_to_go`, `hidden_is_hidden_and_read_only_is_read_only`, `real_pi_that_is_talked_into_it_reaches_nothing_and_works` |
//! | Agents: the rung | found by trying, told, never less than asked for; without one the operator's tenant alone | `this_machine_offers_every_rung_by_name`, `a_rung_that_does_not_hold_is_none`, `an_old_kernel_leaves_nothing`, `the_version_of_landlock_that_is_told_is_the_kernels`, `less_isolation_than_is_asked_for_is_refused`, `without_isolation_agents_serve_the_operators_tenant_alone`, `both_words_spoken_share_the_agents_user`, `the_server_tells_how_agents_are_kept_apart` |
//! | Agents: users | one of its own for each owner, nobody else's, with nothing of an earlier life | `each_owners_agents_have_a_user_of_their_own_that_stays`, `user_ids_that_are_somebody_elses_are_refused`, `what_has_an_agents_user_and_no_keeper_is_ended_at_the_start`, `a_data_directory_that_agents_may_use_is_refused` |
//! | Agents: files that they leave | opened beneath their root, no link followed | `a_symbolic_link_is_never_followed`, `a_path_that_leads_up_or_to_a_root_is_refused`, `a_name_that_changes_meanwhile_leads_nowhere_else`, `only_a_regular_file_of_one_name_and_a_bounded_size_is_read`, `a_tree_is_removed_without_what_its_links_lead_to`, `a_link_in_place_of_a_directory_is_not_followed` |
//! | Agents: their credential | of one session and process, while its turn runs | `it_works_while_a_turn_of_its_session_runs_and_reaches_its_memory_alone`, `it_ends_with_its_process`, `its_calls_are_audited_and_a_loop_of_them_fills_nothing` |
//! | Agents: ports, space, processes | those that are named, and so much of each | `an_agent_with_ports_reaches_these_and_its_own_door_alone`, `the_space_of_an_agents_own_tmp_is_bounded`, `processes_of_one_agent_are_bounded_and_others_do_not_count`, `processes_of_an_ordinary_users_agent_are_bounded` |
//! | The unix socket | no key where agents are kept from it, and never for what descends from a keeper | `the_unix_socket_trusts_the_servers_own_user_where_agents_are_in_namespaces`, `the_unix_socket_asks_for_a_key_where_agents_are_not_isolated`, `the_unix_socket_does_not_trust_an_agent` |
//! | The server's process | memory and environment closed to its own user | `the_servers_memory_and_environment_are_closed_to_its_own_user` |
//! | Metrics | for this machine, by a token | `metrics_are_for_this_machine_unless_said_otherwise`, `metrics_are_told_to_those_who_bring_the_token` |
//! | Search: what others store | changes no rank and no answer | `what_others_store_changes_no_answer`, `what_others_say_changes_no_answer` |
//! | Search: its work | bounded, in places of its own, shared between tenants | `a_flood_of_searches_holds_no_other_tenant_up` |
//! | Memory: the operator's, the primary session's | rebuilding and totals are the operator's; reach is the sender's right on every turn | `a_rebuild_and_its_totals_are_the_operators`, `the_primary_sessions_reach_is_its_senders_right` |
//! | Audit | from every door, silenced by no setting, pushed out by nobody, chained in its file | `no_log_setting_silences_the_audit`, `refused_credentials_are_told_in_a_bounded_summary`, `tenants_push_out_nothing_of_each_other`, `chatter_pushes_out_no_audit_record`, `every_planted_change_is_found`, `the_chain_goes_on_over_rotation_and_a_torn_end` |
//! | Terminals | what others chose is escaped wherever it is printed | `no_answer_steers_the_terminal`, `no_json_steers_the_terminal`, `no_refusal_steers_the_terminal`, `no_refusal_as_json_steers_the_terminal`, `every_command_has_a_sample_here` |
//! | Errors | paths and standard error for the operator's tenant alone | `only_the_operators_tenant_is_told_paths_and_standard_error` |
//! | Stores of other versions | an earlier one opens with all that is in it, a later one stays byte for byte | `r15_what_an_earlier_version_left_is_all_there_and_goes_on`, `r15_a_directory_of_a_later_version_is_refused_and_not_a_byte_of_it_changes` |
//! | Kill | proven, whatever a child does | `r7_nothing_survives_a_kill_at_any_moment`, `r7_nothing_survives_kill_9_of_the_gateway`, `r7_the_sweep_ends_what_outlived_both_gateway_and_keeper` |
//! | Approvals | asked of who may approve, answered once and by nobody else; denied where nobody answers; titles decide nothing; secrets of a form stay the agent's | `an_answer_needs_the_scope_of_its_kind`, `a_strangers_question_is_one_that_never_was`, `who_may_not_approve_can_only_add_rules_that_allow_nothing`, `answers_that_race_have_one_outcome`, `nobody_in_time_is_told_as_declined_and_the_turns_clock_stood_still`, `what_has_no_name_is_never_allowed_and_titles_decide_nothing`, `a_form_is_held_to_its_schema_and_its_secret_is_the_agents_alone`, `real_pi_with_an_extension_that_asks_gets_the_answer` |
//! | Logs, errors, configuration | no secret in any output; nothing steers a terminal; a tenant reads its own | `no_output_shows_a_secret`, `a_leak_is_noticed_in_every_dress`, `what_looks_like_a_credential_is_replaced`, `nothing_steers_a_terminal`, `a_tenant_sees_its_own_records_and_only_the_operators_those_of_the_server`, `a_bug_tells_its_id_and_not_its_cause`, `secrets_are_never_shown`, `secrets_are_masked_and_the_rest_stays` |
//! | Data at rest | 0700 and 0600 | `a_pepper_is_made_once_and_kept_private`, `what_is_written_is_the_users_own` |
//! | Workers | turns of agents that name its principal, and of its tenant; nothing of a lease that is not its own; gone before its lease is given away | `a_worker_of_a_tenant_gets_its_tenants_turns_alone`, `a_worker_touches_turns_of_its_own_leases_only`, `frames_that_make_no_sense_cut_the_connection`, `a_stopped_worker_leaves_no_pi`, `a_stopped_worker_leaves_no_acp_agent` |
//! | Supply chain | advisories | none: there is no advisory database that this build may ask; versions are pinned in `Cargo.lock` |

#[path = "../agent_support/mod.rs"]
mod agent_support;
mod bounds;
mod canary;
mod rest;
#[path = "../support/mod.rs"]
mod support;
mod timing;
mod world;

/// Every name of a test in the table above is a test's.
#[test]
fn the_table_names_tests_that_there_are() {
    let tests = support::test_names();
    let rows = include_str!("main.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! | "))
        .filter(|row| !row.starts_with("surface |"));
    let mut seen = 0;
    for row in rows {
        seen += 1;
        let cells: Vec<&str> = row.trim_end_matches(" |").split(" | ").collect();
        let [surface, _control, shown_by] = cells[..] else {
            panic!("three cells: {row}");
        };
        if shown_by.starts_with("none: ") {
            continue;
        }
        let names: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(
            !names.is_empty(),
            "{surface} has neither a test nor a reason"
        );
        for name in names {
            assert!(tests.contains(name), "{surface}: no test is called {name}");
        }
    }
    assert!(seen > 20, "the table was read");
}
