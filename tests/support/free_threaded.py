"""What is left out on a free-threaded Python, by name.

There is no native twin for it. msgspec, gevent and eventlet have no build for it, and the one of
greenlet switches the GIL on in the whole process. What needs none of them runs.
"""

from __future__ import annotations

import re
import sysconfig

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

FILES = (
    # the native twin
    "local/test_native_borrowed.py",
    "local/test_native_fuzz.py",
    "local/test_native_layout.py",
    "local/test_native_memory.py",
    "local/test_native_model.py",
    "local/test_parity.py",
    "local/test_twin.py",
    # sessions, whose msgspec has no build
    "local/test_latch.py",
    # the extras, which have to be there
    "package/test_missing.py",
    # most of it is about greenlets
    "local/test_memory.py",
)
# Tests that make greenlets, or patch, but for a few words; and parameters that name a library.
TESTS = {
    "test_each_module_has_what_it_says_that_it_has",  # imports sessions
    "test_threads_of_ours_have_nothing_of_who_started_them[pure-App]",
    "test_threads_of_ours_have_nothing_of_who_started_them[pure-store]",
    "test_threads_of_ours_have_nothing_of_who_started_them[pure-store that closes]",
    "test_03_a_greenlet_can_be_given_the_context",
    "test_09_the_application_chooses_the_identity_of_a_library",
    "test_10_an_ended_owner_leaves_nothing",
    "test_a_second_greenlet_of_an_owner_is_refused_a_frame",
    "test_a_greenlet_may_work_for_the_frame_of_its_parent",
    "test_a_greenlet_that_outlasts_the_frame_of_its_parent_leaves_nothing_of_it",
    "test_frames_of_greenlets_within_greenlets_may_end_in_any_order",
    "test_greenlets_getcurrent_means_the_greenlet_strategy",
    "test_the_thread_is_the_owner_while_the_interpreter_ends",
    "test_an_explicit_ident_does_not_follow",
    "test_values_in_another_living_context_count",
    "test_values_in_a_snapshot_count",
    "test_values_in_another_living_greenlet_count",
    "test_discard_drops_the_values_everywhere",
    "test_discarded_values_die",
    "test_none_goes_back_to_the_environment",
    "test_many_threads_may_write_first_at_once",
    "test_current_is_hashable_and_stable_within_an_owner",
    "test_current_keeps_no_value_of_its_owner_alive",
    "test_an_early_get_ident_is_no_trap",
    "test_a_snapshot_holds_its_locals_weakly",
    "test_what_a_job_holds_dies_with_it",
    "test_a_frame_is_fresh_and_persists_between_steps",
    "test_a_frame_is_active_in_one_place_at_a_time",
    "test_a_second_greenlet_on_a_thread_is_refused_under_the_thread_strategy",
    "test_a_close_that_was_refused_is_done_by_the_next",
    "test_greenlets_may_be_inside_frames_at_once_under_the_others",
    "test_a_greenlet_abandoned_inside_a_frame_frees_its_thread",
}
LIBRARIES = re.compile(r"(?<![a-z])(greenlet|gevent|eventlet)(?![a-z])")


def is_left_out(name: str) -> bool:
    """Whether a test cannot run on a free-threaded Python.

    :param name: its name, with its parameters in brackets.
    """
    function, _, parameters = name.partition("[")
    return function in TESTS or name in TESTS or bool(LIBRARIES.search(parameters))
