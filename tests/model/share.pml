/* One share, with everything that can come between: answers in any order and number, cancelling, expiry,
 * a relay whose requests and answers get lost, and crashes at every point that is not one transaction.
 * lifecycle() is printed from the table of policy/lifecycle.c by print-promela.c.
 *
 * A transaction is an atomic block. What is declared here is durable, the relay's or a ghost; what a
 * process declares is lost when it crashes. -DBUG_CANCEL, -DBUG_VOLATILE and -DBUG_COUNT seed one
 * bug each, which a claim must catch. */
#include "lifecycle.pml"

#define ATTEMPTS 2
#define ANSWERS 3
#define CRASHES 1

byte st = S_PENDING;
byte goal = 0;              /* the event that ends `withdrawing` */
byte attempts = ATTEMPTS;   /* left */
byte gen = 0;
byte url_gen = 0;           /* generation of the mailbox whose URL is stored */
bool has_url = false;
bool create_due = false, link_due = false, delete_due = false; /* outbox rows */
bool code = true, payload = true, link = false;
bool mint = false;          /* the content comes from the tenant, once it is confirmed */
byte crashes = 0;

/* the relay */
bool mailbox[GENERATIONS];
bool made[GENERATIONS];     /* what it remembers for recognising a duplicate */

/* in the memory of processes that others must respect */
bool creating = false;      /* a create is with the relay client */

/* ghosts */
bool right_seen = false, cancelled_at_once = false, expired = false;
byte compared = 0, urls_sent = 0;
bool called = false;        /* the relay has heard of the share */
bool left = false;          /* some copy of a link has left */

/* scratch of the current transaction; never read across two */
bool ok = false;
byte ev = 0;
int eff = 0;

inline perform() {
	if :: eff & DO_DROP_QUEUED -> create_due = false; link_due = false; delete_due = false :: else fi;
	if :: eff & DO_NEXT_GENERATION -> gen++ :: else fi;
	if :: eff & DO_CREATE_MAILBOX -> create_due = true :: else fi;
	if :: eff & DO_SEND_LINK -> link_due = true :: else fi;
	if :: eff & DO_DELETE_MAILBOX -> delete_due = true :: else fi;
	if :: eff & (DO_WIPE_CODE | DO_DROP_CODE) -> code = false :: else fi;
	if :: eff & DO_SEND_CODE -> code = true :: else fi;
	if :: eff & DO_WIPE_PAYLOAD -> payload = false :: else fi;
	if :: eff & DO_WIPE_LINK -> link = false :: else fi;
	if :: eff & DO_WIPE_MAILBOX -> has_url = false :: else fi;
	ok = false; eff = 0
}

inline step(event) { d_step { lifecycle(event); perform() } }

/* Nobody can have a URL any more: what lets `withdrawing` end. */
#define OUT_OF_REACH (!creating && !create_due && (!has_url || !mailbox[url_gen]))

#define CRASH(where) if :: crashes < CRASHES -> crashes++; goto where :: true fi

/* The recipient, whoever reads along, and messages that come twice. */
active proctype Recipient() {
	byte n = 0;
	bool right;
	do
	:: n < ANSWERS -> n++;
		if
		:: right = true
		:: right = false
		:: atomic { step(E_NO) }; goto next
		:: atomic { lifecycle(E_READY); perform() }; goto next /* a code of ours, which lapses as any */
		:: atomic { step(E_CODE_LAPSED) }; goto next
		:: atomic { step(E_NOT_ME) }; goto next
		:: atomic { left && link -> step(E_ACKNOWLEDGED) }; goto next
		:: atomic { left -> step(E_CLAIMED_ELSEWHERE) }; goto next
		fi;
		atomic { if :: st == S_PENDING -> step(E_INVITATION_TAKEN) :: else fi };
#ifdef BUG_COUNT
		if :: st == S_INVITED && attempts > 0 -> compared++ :: else -> goto next fi;
		CRASH(next);
		atomic { attempts = (attempts > 0 -> attempts - 1 : 0) };
#else
		atomic { if :: st == S_INVITED && attempts > 0 -> attempts-- :: else -> goto next fi };
		CRASH(next); /* the attempt is spent, the answer is lost */
		atomic { compared++ };
#endif
		atomic {
			if
			:: right && st == S_INVITED && code -> right_seen = true; step(E_CODE_RIGHT)
			:: right && st == S_INVITED && code -> step(E_FACTOR_MET) /* one of several */
			:: !right && attempts > 0 -> step(E_CODE_WRONG)
			:: !right && attempts == 0 -> step(E_CODE_WRONG_LAST)
			:: else -> skip
			fi; right = false
		};
next:		right = false
	:: break
	od
}

active proctype Sender() {
	if
	:: atomic {
#ifdef BUG_CANCEL
		if
		:: st == S_RELEASING || st == S_RELEASED -> st = S_CANCELLED; cancelled_at_once = true
		:: else
		fi;
#endif
		lifecycle(E_CANCEL);
		if :: ok && st == S_CANCELLED -> cancelled_at_once = true :: else fi;
		perform() }
	:: atomic { step(E_POLICY_TIGHTENED) }
	:: atomic { link -> step(E_RESEND_LINK) } /* the guard: ACKNOWLEDGED has wiped it */
	:: atomic { lifecycle(E_REISSUE); if :: ok -> code = true :: else fi; perform() } /* and gives no attempt */
	:: skip
	fi
}

active proctype Clock() {
	if
	:: atomic { lifecycle(E_EXPIRE); if :: ok -> expired = true :: else fi; perform() }
	:: skip
	fi;
	/* The mailbox of the stored URL runs out, which `released` and `withdrawing` wait for at worst. */
	if
	:: atomic { has_url && st == S_RELEASED -> mailbox[url_gen] = false;
		if
		:: link -> if :: step(E_NOT_COLLECTED) :: step(E_NOT_FINISHED) :: step(E_OUTCOME_UNKNOWN)
			:: step(E_MAILBOX_GONE) fi /* Draft R: the last message was taken */
		:: else -> step(E_MAILBOX_GONE)
		fi }
	:: skip
	fi
}

/* Drives the invitation, the release, and everything that goes to the relay. */
active proctype Relay() {
	bool url, duplicate;
start:
	creating = false; url = false; duplicate = false;
	do
	:: atomic { st == S_PENDING && !mint -> mint = true; payload = false }
	:: atomic { st == S_PENDING -> step(E_INVITATION_TAKEN) }
	:: atomic { st == S_CONFIRMED -> if :: step(E_RELEASE) :: step(E_ASK_APPROVAL) fi }
	:: atomic { st == S_AWAITING_APPROVAL ->
		if :: step(E_APPROVED) :: step(E_DENIED) :: step(E_APPROVAL_WRONG) fi }

	:: atomic { create_due && !payload && st == S_RELEASING -> assert(mint && right_seen) };
		CRASH(start); /* the tenant is asked again, and answers the same */
		atomic {
			if
			:: st == S_RELEASING -> if :: payload = true :: step(E_NOT_ISSUED) :: skip fi
			:: else -> skip
			fi
		}
	:: atomic { create_due && payload && st == S_RELEASING -> creating = true; called = true };
		if
		:: atomic { made[gen] -> duplicate = true }
		:: atomic { !made[gen] -> made[gen] = true; mailbox[gen] = true; url = true }
		:: skip /* the request got lost */
		fi;
		if :: skip :: url = false; duplicate = false /* the answer got lost */ fi;
		CRASH(start);
#ifdef BUG_VOLATILE
		if :: url -> urls_sent = urls_sent | (1 << gen); left = true :: else fi;
		CRASH(start);
#endif
		atomic {
			creating = false;
			if
			:: url -> lifecycle(E_MAILBOX_MADE);
				if :: ok -> has_url = true; url_gen = gen; link = (st == S_RELEASED); create_due = false
				:: else fi; perform()
			:: duplicate && gen + 1 < GENERATIONS -> step(E_GENERATION_LOST)
			:: duplicate && gen + 1 == GENERATIONS -> step(E_RELAY_REFUSED)
			:: else -> if :: step(E_RELAY_UNREACHABLE) :: step(E_RELAY_REFUSED) :: skip fi
			fi; url = false; duplicate = false
		}

	:: delete_due && has_url ->
		if :: mailbox[url_gen] = false :: skip fi; /* done, or lost on the way */
		CRASH(start);
		atomic { if :: has_url && !mailbox[url_gen] -> delete_due = false :: else fi }

	:: atomic { st == S_RELEASED && has_url && !mailbox[url_gen] -> step(E_MAILBOX_GONE) }
	:: atomic { st == S_RELEASED && link -> step(E_TRANSFER_BROKEN) }
	:: atomic { st == S_RELEASED && link -> step(E_CLAIMED_ELSEWHERE) } /* the relay's word */
	:: atomic { st == S_WITHDRAWING && OUT_OF_REACH -> step(goal) }
	:: atomic { st == S_WITHDRAWING && has_url -> mailbox[url_gen] = false } /* at its expiry at the latest */
	:: TERMINAL -> break
	:: st == S_INVITED && timeout -> break
	od
}

active proctype Link() {
start:
	do
	:: atomic { link_due && st == S_RELEASED -> assert(has_url && link) };
		CRASH(start);
		atomic { urls_sent = urls_sent | (1 << url_gen); left = true };
		CRASH(start); /* it is sent again, the same bytes */
		atomic { step(E_LINK_SENT); link_due = false }
	:: atomic { left && has_url && mailbox[url_gen] -> mailbox[url_gen] = false } /* collected */
	:: atomic { st == S_RELEASED && left && link && !link_due -> step(E_HELP) }; break
	:: atomic { st == S_RELEASED && !left -> step(E_LINK_UNDELIVERABLE) }; break
	:: TERMINAL -> break
	:: st == S_INVITED && timeout -> break
	od
}

ltl once   { [] (urls_sent == 0 || urls_sent == 1 || urls_sent == 2 || urls_sent == 4) }
ltl conf   { [] ((called || left) -> right_seen) }
ltl budget { [] (compared <= ATTEMPTS) }
ltl cancel { [] (cancelled_at_once -> (!left && !called)) }
ltl absorb { [] ((st == S_COMPLETED -> [] (st == S_COMPLETED)) && (st == S_DECLINED -> [] (st == S_DECLINED)) && (st == S_DISOWNED -> [] (st == S_DISOWNED)) && (st == S_CANCELLED -> [] (st == S_CANCELLED)) && (st == S_EXPIRED -> [] (st == S_EXPIRED)) && (st == S_LOCKED -> [] (st == S_LOCKED)) && (st == S_FAILED -> [] (st == S_FAILED))) }
ltl noexp  { [] (expired -> (!left && !called)) }
ltl shut   { [] ((TERMINAL -> (!(has_url && mailbox[url_gen]) && !code && !payload && !link && !has_url)) && (has_url -> MAILBOX_MAY_EXIST)) }
