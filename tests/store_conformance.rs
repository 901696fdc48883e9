//! What every engine of the store must do. A story is generic over [`harness::Engine`]; each engine runs all of them.
//!
//! Every story ends with the whole-store checker (R4, R18) and a comparison of what was published with what is kept.

#[path = "store_conformance/harness.rs"]
mod harness;

#[path = "store_conformance/admission.rs"]
mod admission;
#[path = "store_conformance/control.rs"]
mod control;
#[path = "store_conformance/model.rs"]
mod model;
#[path = "store_conformance/ownership.rs"]
mod ownership;
#[path = "store_conformance/reads.rs"]
mod reads;
#[path = "store_conformance/recovery.rs"]
mod recovery;
#[path = "store_conformance/requests.rs"]
mod requests;
#[path = "store_conformance/retention.rs"]
mod retention;
#[path = "store_conformance/sessions.rs"]
mod sessions;
#[path = "store_conformance/times.rs"]
mod times;
#[path = "store_conformance/turns.rs"]
mod turns;

/// Runs each story on each engine.
macro_rules! stories {
    ($($room:ident: $($story:ident),+ $(,)?;)+) => {
        mod sqlite {
            $(mod $room {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $story() {
                    crate::$room::$story::<crate::harness::Sqlite>().await;
                })+
            })+
        }
    };
}

stories! {
    times:
        a_turn_waits_for_its_time_outside_of_the_queue,
        a_turn_that_waits_for_its_time_is_changed_and_taken,
        turns_that_wait_for_their_time_are_bounded,
        a_schedule_runs_at_its_times_and_in_one_commit_with_its_row,
        what_was_missed_is_caught_up_once_over_a_crash,
        a_right_that_is_not_looked_up_ends,
        ten_thousand_schedules_cost_one_timer,
        a_clock_that_is_set_neither_repeats_nor_loses_a_run,
        an_earlier_run_is_treated_as_the_schedule_says,
        runs_that_fail_pause_it_and_a_full_queue_is_a_row,
        runs_are_counted_kept_and_deleted,
        a_time_that_clocks_skip_has_a_row,
        it_runs_with_its_owners_key_while_that_is_valid,
        a_step_that_was_told_of_an_older_schedule_does_nothing;
    admission:
        an_enqueue_makes_the_session_and_its_turn_in_one_commit,
        turns_wait_in_order_and_a_full_queue_stores_nothing,
        a_queue_is_bounded_in_bytes_too,
        reject_names_the_active_turn,
        interrupts_go_first_newest_first_and_cancel_the_active_turn,
        a_refused_interrupt_cancels_nothing,
        steer_or_enqueue_steers_only_what_can_be_steered,
        what_does_not_fit_the_session_is_refused,
        a_full_disk_refuses_new_work_alone,
        sessions_are_bounded,
        a_steer_is_a_turn_where_nothing_runs,
        steers_are_bounded_and_fit_their_turn;
    turns:
        a_start_writes_the_turn_and_its_message,
        what_a_turn_is_to_answer_with_comes_with_its_start,
        what_an_agent_did_becomes_events_and_messages,
        the_table_of_ends,
        unapplied_steers_become_turns_ahead_of_all_but_interrupts,
        only_a_death_leaves_open_whether_a_steer_was_taken,
        a_stop_that_clears_rejects_unapplied_steers,
        an_applied_steer_is_a_message_of_its_turn,
        a_fenced_owner_writes_nothing,
        turns_that_waited_too_long_expire;
    control:
        an_abort_of_an_idle_session_is_fine,
        a_second_abort_raises_the_first,
        an_abort_of_a_waiting_turn_takes_it,
        an_abort_with_clear_queue_takes_what_waits,
        a_reset_of_an_idle_session_is_one_commit,
        a_reset_waits_for_the_active_turn,
        a_delete_takes_everything_but_a_tombstone,
        the_primary_session_stays,
        waiting_turns_can_be_changed_and_taken;
    requests:
        each_command_has_one_effect_per_request_id,
        another_request_under_the_same_id_is_refused,
        sixteen_callers_make_one_turn,
        a_request_outlives_restart_reset_and_delete,
        a_request_is_kept_a_day_after_its_turn;
    recovery:
        a_running_turn_ends_interrupted,
        open_items_are_closed_from_their_checkpoints,
        retry_starts_again_until_it_is_used_up,
        what_was_being_stopped_ends_as_asked,
        steers_of_a_lost_turn_are_requeued,
        recovery_is_idempotent_and_leaves_this_life_alone,
        many_sessions_recover_in_batches,
        a_retry_taken_from_the_queue_ends_canceled;
    retention:
        old_events_go_but_never_of_an_unfinished_turn,
        events_are_kept_by_age,
        history_goes_when_it_may,
        idle_sessions_are_deleted,
        tombstones_go_after_a_day;
    sessions:
        settings_change_and_agents_wait_for_the_reset,
        a_fork_has_the_messages_up_to_its_turn,
        a_fork_needs_a_free_key_and_an_agent_that_can,
        lists_are_paged_and_filtered,
        a_key_made_again_has_another_log;
    reads:
        events_are_read_by_range_kind_and_turn,
        messages_are_paged_from_the_newest,
        turns_are_listed_by_session_tenant_and_state,
        attachments_are_stored_once,
        what_waits_is_found_oldest_first,
        tenants_see_nothing_of_each_other;
    ownership:
        a_stranger_can_not_tell_a_session_from_none,
        a_key_of_somebody_else_can_not_be_taken,
        a_share_gives_what_it_says,
        a_withdrawn_caller_gets_no_repeat,
        lists_show_what_is_ones_own_or_shared,
        interrupts_of_a_reader_change_nothing,
        what_its_sender_may_not_send_any_more_never_starts,
        principals_and_tenants_are_bounded,
        starts_go_round_over_tenants_and_principals,
        a_delete_that_fails_stands_in_nobodys_way;
    model:
        any_order_of_commands_keeps_every_promise;
}
