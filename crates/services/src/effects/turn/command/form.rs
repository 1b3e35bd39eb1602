//! The binary form of requests and answers on their way between places.

use super::reply::Answer;
use super::{
    AccountView, Arrive, Asked, BookChange, BookView, ClearLeftovers, Contacts, DumpAccount, DumpShard,
    Dumped, Expected, Kick, Kicked, Leave, Leaving, ListSessions, NewKey, PrivacyChange, Question, Refusal,
    RemoveAccount, RemoveMoved, RemoveSilent, SessionSummary, SetAccount, SetPrivacy, ShowAccount,
    ShowContacts, Trace, Whom,
};
use crate::data::data;
use crate::trace::{TraceEvent, TracePage};

data!(struct Asked { asker, number, whom, question });
data!(struct Whom { account, key });
data!(enum Question {
    0 = SetAccount(request), 1 = RemoveAccount(request), 2 = Leave(request), 3 = Arrive(request), 4 = RemoveMoved(request),
    5 = ShowAccount(request), 6 = ListSessions(request), 7 = Kick(request), 8 = Book(request), 9 = Privacy(request),
    10 = RemoveSilent(request), 11 = Contacts(request), 12 = TellOfKey(request), 13 = ClearLeftovers(request), 14 = Trace(request),
    15 = DumpAccount(request), 16 = DumpShard(request),
});
data!(struct SetAccount { record, expected });
data!(enum Expected { 0 = Any, 1 = Absent, 2 = Generation(generation) });
data!(struct RemoveAccount);
data!(struct Leave);
data!(struct Arrive { record, puts });
data!(struct RemoveMoved);
data!(struct ShowAccount);
data!(struct ListSessions);
data!(struct Kick { resource });
data!(enum BookChange { 0 = Show, 1 = Replace(numbers), 2 = Change { add, remove }, 3 = Adopt(numbers) });
data!(struct SetPrivacy(change));
data!(struct PrivacyChange { patch, whole });
data!(struct RemoveSilent { generation, seen_unix_ms });
data!(struct ShowContacts);
data!(struct NewKey { number, unix_ms, is_new, is_by_books });
data!(struct ClearLeftovers);
data!(struct Trace { after });
data!(struct DumpAccount);
data!(struct DumpShard);

data!(enum Answer {
    0 = Done(done), 1 = Leaving(leaving), 2 = Account(account), 3 = Sessions(sessions), 4 = Kicked(kicked), 5 = Book(book),
    6 = Privacy(view), 7 = Contacts(contacts), 8 = Trace(page), 9 = Dumped(dumped),
});
data!(struct Leaving { roster, book, mutual, waiting_messages });
data!(struct AccountView { record, sessions, waiting_messages, waiting_bytes });
data!(struct SessionSummary { full_jid, available, priority, hibernating, unacknowledged });
data!(struct Kicked { sessions });
data!(struct TracePage { events, next, missed });
data!(struct TraceEvent { unix_ms, what });
data!(struct Dumped(json));
data!(struct BookView { numbers, matches, version });
data!(struct Contacts { by_books, by_subscription });
data!(enum Refusal {
    0 = NoSuchAccount, 1 = Conflict, 2 = Unavailable(why), 3 = NotAcceptable(why), 4 = Overloaded, 5 = Limited { retry_after_ms },
    6 = TooLarge,
});
