<?php

/** The closed vocabularies of a call record. They are stored in vTiger as they stand on the wire and translated for the eye. */

declare(strict_types=1);

namespace PinCalls\Record;

final class Words
{
    public const DIRECTIONS = ['incoming', 'outgoing', 'internal'];
    public const STATUSES = [
        'ringing', 'in_progress', 'completed', 'missed', 'no_answer', 'busy', 'failed', 'cancelled',
    ];
    public const REASONS = [
        'greeting', 'menu', 'queue', 'abandoned', 'no_answer', 'busy', 'unreachable', 'rejected', 'dialplan_error',
        'voicemail', 'lookup', 'lost', 'agent_no_answer', 'agent_busy', 'agent_unreachable',
    ];
    public const FOLLOW_UPS = ['open', 'called_back', 'client_got_through', 'tried', 'closed'];
    public const ENDED_BY = ['client', 'us', 'pbx'];
    public const TRANSFERS = ['blind', 'attended'];
    public const SOURCES = ['ami', 'cdr'];
    public const RECORDING_STATES = ['none', 'recording', 'ready', 'deleted', 'unavailable'];
    public const STEPS = [
        'enter', 'greeting', 'menu', 'digits', 'queue', 'lookup', 'ring', 'ring_end', 'answer', 'hold', 'unhold', 'transfer',
        'park', 'retrieve', 'pickup', 'recording', 'voicemail', 'hangup',
    ];
    /** Statuses of a call that is still going on. */
    public const OPEN_STATUSES = ['ringing', 'in_progress'];
}
