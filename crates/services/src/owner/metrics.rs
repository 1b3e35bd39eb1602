//! What an owner of accounts counts: what goes its way through the router, mailboxes and sessions.

chaski_telemetry::metrics! {
    /// What the router, the mailbox and the directory count.
    pub struct OwnerMetrics("chaski_rooms") {
        /// Stanzas received from clients.
        stanzas_received_total: Counter,
        /// Messages put into mailboxes.
        messages_stored_total: Counter,
        /// Messages of a mailbox that are intact and can't be understood: a newer program's, or a fault.
        messages_unreadable_total: Counter,
        /// Messages that the store knew already (sent again by a client).
        messages_duplicate_total: Counter,
        /// Messages written to clients from mailboxes, at once or late.
        messages_delivered_total: Counter,
        /// Of those, the ones read from a backlog.
        messages_delivered_late_total: Counter,
        /// Messages sent again after a resumption.
        messages_resent_total: Counter,
        /// Messages acknowledged by their recipients.
        messages_acknowledged_total: Counter,
        /// Messages that are never stored (chat states, headlines, errors, no-store).
        messages_transient_total: Counter,
        /// Stanzas that an account was not given because it has blocked their sender.
        stanzas_blocked_total: Counter,
        /// Stanzas refused with an error.
        stanzas_refused_total: Counter,
        /// Messages by the time from their sender's session to the disk, in microseconds (counted in milliseconds).
        acceptance_us: Histogram,
        /// Messages by the time from their sender's session to that of a recipient who has kept up, likewise.
        delivery_us: Histogram,
        /// Messages refused because the mailbox or the store was full.
        messages_refused_full_total: Counter,
        /// Messages refused because their sender had stored too much lately.
        messages_refused_rate_total: Counter,
        /// Messages that wait to be durable.
        messages_in_flight: Gauge,
        /// Sessions, hibernating ones included.
        sessions: Gauge,
        /// Sessions that wait to be resumed.
        sessions_hibernating: Gauge,
        /// Sessions resumed.
        sessions_resumed_total: Counter,
        /// Sessions ended because their client was too slow or did not acknowledge.
        sessions_cut_total: Counter,
        /// Accounts in memory.
        accounts_resident: Gauge,
        /// Accounts that were not in memory though something was being done for them: a fault of the program.
        accounts_missed_total: Counter,
        /// Accounts whose records are being loaded.
        accounts_loading: Gauge,
        /// Stanzas and calls that wait for an account's records.
        parked: Gauge,
        /// Bytes of these.
        parked_bytes: Gauge,
        /// Stanzas that wait because their account has enough records being loaded for it.
        loads_waiting: Gauge,
        /// Stanzas, logins and calls refused because too much waited for records.
        loads_refused_total: Counter,
        /// Stanzas answered without a look-up, because their account had been told before that nobody is there.
        loads_spared_total: Counter,
        /// Answers to strangers that nobody is there, which wait for the next tick.
        refusals_late: Gauge,
        /// Stanzas for strangers that are no messages to be kept, which wait for the next tick.
        strangers_waiting: Gauge,
        /// Bytes of these.
        strangers_bytes: Gauge,
        /// Messages that are not stored, dropped because their session had too much unacknowledged.
        messages_dropped_total: Counter,
        /// Presence dropped because another shard was overloaded, or because its session was.
        presence_dropped_total: Counter,
        /// Accounts that are still to be told of somebody's presence: it is for very many, and told in several turns.
        presence_waiting: Gauge,
        /// Bytes of stanzas that stand behind such presence of their sender.
        behind_presence_bytes: Gauge,
        /// Presence, chat states and events held back because their client is inactive.
        stanzas_held_total: Counter,
        /// Of those that were held, the ones that something later replaced.
        stanzas_folded_total: Counter,
        /// Bytes held back now.
        held_bytes: Gauge,
        /// Stanzas that had to wait until their client acknowledged, or took, what it was sent before.
        stanzas_late_total: Counter,
        /// Stanzas of clients that had to wait behind those.
        stanzas_parked_total: Counter,
        /// Bytes that wait for either now.
        late_bytes: Gauge,
        /// Answers and pushes lost because far too many waited for a session that was cut for it already.
        stanzas_lost_total: Counter,
        /// Answers that were sent behind what waited in the mailbox.
        answers_behind_mail_total: Counter,
        /// Copies of messages sent to an account's other sessions.
        carbons_total: Counter,
        /// PEP notifications, and requests for last items, dropped because a shard was overloaded.
        pep_notifications_dropped_total: Counter,
        /// PEP notifications, and requests for last items, that wait for their turn.
        pep_notifications_waiting: Gauge,
        /// Envelopes that wait because another shard was overloaded.
        envelopes_waiting: Gauge,
        /// Answers, farewells and hints lost because too many waited, or were kept. No acceptance, and no error that settles a message.
        envelopes_lost_total: Counter,
        /// Envelopes whose receivers have not yet said that they have them.
        envelopes_kept: Gauge,
        /// Bytes of these.
        envelopes_kept_bytes: Gauge,
        /// Envelopes sent again because they were lost on the way.
        envelopes_sent_again_total: Counter,
        /// Envelopes that came again, or before one that was lost: dropped.
        envelopes_repeated_total: Counter,
        /// Places that have said nothing for a while although something was sent to them: messages for them are refused.
        places_silent: Gauge,
        /// Answers of other places' owners that somebody here waits for.
        answers_awaited: Gauge,
        /// Of those, answers that did not come in time.
        answers_missing_total: Counter,
        /// Commands that a shard of this process has forgotten to answer: a fault of the program.
        answers_forgotten_total: Counter,
        /// Envelopes for an earlier run of the node, dropped.
        envelopes_astray_total: Counter,
        /// Errands of a room that were refused because too many of the same account waited.
        errands_refused_total: Counter,
        /// Streams whose language is not added to their stanzas, because too many others are spoken.
        languages_unsaid_total: Counter,
        /// Tokens given to clients (XEP-0484).
        tokens_issued_total: Counter,
        /// Logins by a token.
        tokens_proved_total: Counter,
        /// Claims to have a token that were not good.
        tokens_refused_total: Counter,
        /// Accounts removed: nothing is left of them.
        accounts_removed_total: Counter,
        /// Accounts that are being removed, or whose number is being cleared.
        removals_under_way: Gauge,
        /// Steps of removals tried again because the store had failed.
        removals_retried_total: Counter,
        /// Accounts that did not exist and of which something was found and deleted.
        leftovers_cleared_total: Counter,
        /// Questions to the index of media, and changes of it, that are under way.
        index_waiting: Gauge,
        /// Of these, refused because too many were.
        index_refused_total: Counter,
        /// Records that could not be saved.
        saves_failed_total: Counter,
    }
}
