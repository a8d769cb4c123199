"""What one stranger does to the shop, another customer does not notice.

Each attack goes on for some seconds, from a process and addresses of its own, while somebody else shops: looks around,
uses cart and profile, chats. None of that may fail or take longer than three seconds, no worker may end, and the
memory that it took has to come back.
"""

import pytest

from hostile.attacks import ATTACKS

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240), pytest.mark.xdist_group("hostile")]


@pytest.fixture
def nobody_notices(shop):
    def attack(name):
        outcome = shop.suffer(name)
        if outcome.is_only_late:
            # Other work on a shared machine delays answers as well. An attack that works, works twice.
            outcome = shop.suffer(name)
        assert sum(outcome.tally.values()) > 10, "that was no attack"
        assert not outcome.is_harmful, str(outcome)

    return attack


def test_every_attack_has_a_rule_here():
    named = {name for function in RULES for name in function.__code__.co_consts if name in ATTACKS}

    assert named == set(ATTACKS)


def test_numbers_in_queries_are_bounded_before_they_are_converted(nobody_notices):
    nobody_notices("hostile_numbers_in_queries")


def test_numbers_in_bodies_are_bounded_before_they_are_converted(nobody_notices):
    nobody_notices("hostile_numbers_in_bodies")


def test_deep_json_is_refused_cheaply(nobody_notices):
    nobody_notices("deep_json")


def test_complaints_about_fields_are_bounded(nobody_notices):
    nobody_notices("thousands_of_unknown_fields")


def test_ids_of_any_size_are_looked_up_cheaply(nobody_notices):
    nobody_notices("huge_ids")


def test_words_are_bounded_before_they_are_compared(nobody_notices):
    nobody_notices("words_that_are_dear_to_compare")


def test_headers_are_bounded_before_they_are_read(nobody_notices):
    nobody_notices("headers_that_are_dear_to_read")


def test_bodies_of_other_kinds_are_refused_cheaply(nobody_notices):
    nobody_notices("bodies_of_other_kinds")


def test_large_bodies_are_read_cheaply(nobody_notices):
    nobody_notices("bodies_of_a_megabyte")


def test_silent_connections_give_way_when_the_house_is_full(nobody_notices):
    nobody_notices("silent_connections")


def test_one_address_does_not_fill_the_house(nobody_notices):
    nobody_notices("silent_connections_of_one_address")


def test_connections_that_were_answered_and_stay_take_no_place_from_others(nobody_notices):
    nobody_notices("connections_idle_after_a_request")


def test_heads_that_drip_take_no_place_from_others(nobody_notices):
    nobody_notices("dripping_heads")


def test_bodies_that_drip_take_no_place_from_others(nobody_notices):
    nobody_notices("dripping_bodies")


def test_bodies_that_are_expected_and_never_come_take_no_place_from_others(nobody_notices):
    nobody_notices("bodies_that_are_expected")


def test_heads_without_an_end_take_no_memory_for_good(nobody_notices):
    nobody_notices("unfinished_heads_of_27_kilobytes")


def test_connections_that_are_reset_leave_nothing_behind(nobody_notices):
    nobody_notices("resets")


def test_who_reads_lists_slowly_takes_no_place_at_the_service(nobody_notices):
    nobody_notices("slow_readers_of_lists")


def test_who_reads_documents_slowly_keeps_nobody_waiting(nobody_notices):
    nobody_notices("slow_readers_of_documents")


def test_who_reads_long_tickets_slowly_takes_no_place_at_the_service(nobody_notices):
    nobody_notices("slow_readers_of_tickets")


def test_a_connection_has_one_turn_at_a_time_though_the_gateway_answers_itself(nobody_notices):
    nobody_notices("pipelined_own_pages")


def test_a_connection_has_one_turn_at_a_time_at_the_services(nobody_notices):
    nobody_notices("pipelined_requests")


def test_old_connections_are_kept_no_longer_than_others(nobody_notices):
    nobody_notices("http_1_0_that_stays")


def test_one_address_does_not_occupy_a_service(nobody_notices):
    nobody_notices("many_requests_in_progress")


def test_paths_that_lead_nowhere_count(nobody_notices):
    nobody_notices("unknown_paths")


def test_preflights_count(nobody_notices):
    nobody_notices("preflights")


def test_the_gateways_own_pages_count(nobody_notices):
    nobody_notices("own_pages")


def test_pictures_count(nobody_notices):
    nobody_notices("pictures")


def test_searches_leave_room_for_others(nobody_notices):
    nobody_notices("searches")


def test_tokens_of_nobody_are_refused_without_keeping_others_waiting(nobody_notices):
    nobody_notices("tokens_of_nobody")


def test_idempotency_keys_are_written_down_at_a_bounded_rate(nobody_notices):
    nobody_notices("idempotency_keys")


def test_one_account_writes_at_a_bounded_rate(nobody_notices):
    nobody_notices("writes_of_one_account")


def test_methods_that_nobody_knows_count(nobody_notices):
    nobody_notices("methods_that_nobody_knows")


def test_who_looks_at_orders_does_not_wait_for_checkouts(nobody_notices):
    nobody_notices("checkouts")


def test_long_pages_of_messages_leave_room_for_others(nobody_notices):
    nobody_notices("pages_of_long_messages")


def test_what_the_server_refuses_is_refused_cheaply(nobody_notices):
    nobody_notices("refused_by_the_server")


def test_connections_for_one_request_each_are_served_beside_others(nobody_notices):
    nobody_notices("new_connections")


def test_what_a_socket_sends_without_a_token_waits_for_its_turn(nobody_notices):
    nobody_notices("frames_without_a_token")


def test_a_socket_opens_few_sessions(nobody_notices):
    nobody_notices("packets_that_open_sessions")


def test_a_message_is_bounded_whatever_it_is_made_of(nobody_notices):
    nobody_notices("messages_without_an_end")


def test_nothing_is_inflated_before_it_is_bounded(nobody_notices):
    nobody_notices("deflated_bombs")


def test_attachments_that_nobody_announced_are_refused(nobody_notices):
    nobody_notices("binary_packets")


def test_events_are_bounded_before_they_are_read(nobody_notices):
    nobody_notices("events_that_are_dear_to_read")


def test_a_person_chats_at_a_bounded_rate(nobody_notices):
    nobody_notices("chat_messages")


def test_answers_that_nobody_reads_do_not_pile_up(nobody_notices):
    nobody_notices("events_whose_answers_nobody_reads")


def test_sockets_that_never_sign_in_give_way(nobody_notices):
    nobody_notices("sockets_that_never_sign_in")


def test_one_address_has_a_bounded_number_of_sockets(nobody_notices):
    nobody_notices("sockets_of_one_address")


def test_one_account_has_a_bounded_number_of_sockets(nobody_notices):
    nobody_notices("sockets_of_one_account")


def test_handshakes_that_make_no_sense_are_refused(nobody_notices):
    nobody_notices("half_handshakes")


def test_polling_sessions_are_bounded(nobody_notices):
    nobody_notices("polling_sessions")


def test_a_websocket_that_a_session_has_not_moved_to_takes_no_place_for_long(nobody_notices):
    nobody_notices("sockets_that_sessions_never_move_to")


def test_frames_that_dribble_are_gathered(nobody_notices):
    nobody_notices("frames_that_dribble")


def test_polling_payloads_are_bounded_as_messages_are(nobody_notices):
    nobody_notices("polling_payloads")


def test_guessing_passwords_from_one_address_holds_up_no_one_who_is_signed_in(nobody_notices):
    nobody_notices("wrong_passwords_of_one_address")


def test_guessing_passwords_from_twenty_addresses_holds_up_no_one_who_is_signed_in(nobody_notices):
    nobody_notices("wrong_passwords_of_twenty_addresses")


def test_guessing_somebodys_password_does_not_sign_them_out(nobody_notices):
    nobody_notices("wrong_passwords_of_somebody_who_exists")


def test_opening_accounts_holds_up_no_one_who_has_one(nobody_notices):
    nobody_notices("registrations")


def test_renewing_sessions_holds_up_no_one(nobody_notices):
    nobody_notices("refreshes")


def test_ending_sessions_holds_up_no_one(nobody_notices):
    nobody_notices("logouts")


RULES = [function for name, function in list(globals().items()) if name.startswith("test_")]
