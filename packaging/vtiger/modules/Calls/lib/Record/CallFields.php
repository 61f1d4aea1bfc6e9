<?php

/**
 * What a call record is in the fields of the module `Calls`. Client, user and owner are added by whoever finds them; nothing here
 * asks a database.
 */

declare(strict_types=1);

namespace PinCalls\Record;

final class CallFields
{
    /**
     * @return array<string, string|int> vTiger field name to value, as CRMEntity takes them (UTC times, whole seconds)
     */
    public static function of(CallRecord $call): array
    {
        $recording = self::recording($call);
        return [
            'call_name' => self::title($call),
            'call_direction' => $call->direction,
            'call_status' => $call->status,
            'call_reason' => $call->text('reason'),
            'is_main' => $call->is('lead') ? 1 : 0,
            'call_started' => self::moment($call->time('started_at')),
            'call_answered' => self::moment($call->time('answered_at')),
            'call_ended' => self::moment($call->time('ended_at')),
            'ring_seconds' => self::whole($call->seconds('ring_seconds')),
            'talk_seconds' => self::whole($call->seconds('talk_seconds')),
            'total_seconds' => self::whole($call->seconds('total_seconds')),
            'wait_seconds' => self::whole($call->seconds('wait_seconds')),
            'client_number' => $call->text('client_number'),
            'client_name' => $call->text('client_name'),
            'client_e164' => $call->text('client_number_normalized'),
            'calling_number' => $call->text('from'),
            'called_number' => $call->text('to'),
            'call_did' => $call->text('did'),
            'call_pbx' => $call->pbx,
            'call_extension' => $call->text('extension'),
            'call_phone' => $call->text('phone'),
            'call_trunk' => $call->text('trunk'),
            'call_queue' => $call->text('queue'),
            'call_menu' => $call->text('menu'),
            'call_voicemail' => $call->text('voicemail'),
            'transfer_source' => $call->text('transferred_from'),
            'transfer_target' => $call->text('transferred_to'),
            'transfer_kind' => $call->text('transfer'),
            'pickup_source' => $call->text('picked_up_from'),
            'ended_by' => $call->text('ended_by'),
            'hangup_cause' => $call->count('hangup_cause') ?? '',
            'recording_link' => $recording['id'],
            'recording_state' => $recording['state'],
            'call_follow_up' => $call->text('follow_up'),
            'follow_up_tries' => $call->count('follow_up_tries') ?? '',
            'follow_up_call' => $call->text('follow_up_call'),
            'followed_up_at' => self::moment($call->time('followed_up_at')),
            'outside_hours' => $call->is('outside_hours') ? 1 : 0,
            'click_to_call' => $call->is('click_to_call') ? 1 : 0,
            'call_source' => $call->text('source') ?: 'ami',
            'call_id' => $call->id,
            'call_conversation' => $call->conversation,
        ];
    }

    /** The call in a line, in no language: who called whom. */
    public static function title(CallRecord $call): string
    {
        $calling = $call->text('from') ?: ($call->text('client_number') ?: '?');
        $called = $call->direction === 'incoming'
            ? ($call->party() ?: ($call->text('to') ?: ($call->text('did') ?: '?')))
            : ($call->text('to') ?: ($call->party() ?: '?'));
        return $calling . ' → ' . $called;
    }

    /** `5:07`, `1:02:03`; empty for what is unknown. */
    public static function duration(string $seconds): string
    {
        if (!is_numeric($seconds)) {
            return '';
        }
        $whole = max(0, (int) $seconds);
        $minutes = intdiv($whole, 60);
        if ($minutes < 60) {
            return sprintf('%d:%02d', $minutes, $whole % 60);
        }
        return sprintf('%d:%02d:%02d', intdiv($minutes, 60), $minutes % 60, $whole % 60);
    }

    /** @return array{id: string, state: string} the recording a player plays: the last that still exists, else the last */
    private static function recording(CallRecord $call): array
    {
        $chosen = ['id' => '', 'state' => 'none'];
        foreach ($call->recordings as $recording) {
            if ($chosen['state'] !== 'ready' || $recording['state'] === 'ready') {
                $chosen = ['id' => $recording['id'], 'state' => $recording['state']];
            }
        }
        return $chosen;
    }

    private static function moment(?float $unixSeconds): string
    {
        return $unixSeconds === null ? '' : gmdate('Y-m-d H:i:s', (int) $unixSeconds);
    }

    /** @return int|string */
    private static function whole(?float $seconds)
    {
        return $seconds === null ? '' : (int) round($seconds);
    }
}
