<?php

/**
 * What a call has beside its vTiger record: the timeline, the row a pop-up reads, and the card a click came from. Kept out of the
 * entity's fields, because each of them changes with every step of a call and belongs in nobody's history or export.
 */

declare(strict_types=1);

namespace PinCalls\Record;

use PinCalls\Clock;
use PinCalls\Db;
use PinCalls\Identity\Client;
use PinCalls\Identity\ClientFinder;

class Companions
{
    private Db $db;
    private ClientFinder $clients;
    private Clock $clock;

    public function __construct(Db $db, ClientFinder $clients, Clock $clock)
    {
        $this->db = $db;
        $this->clients = $clients;
        $this->clock = $clock;
    }

    public function write(int $crmId, CallRecord $call, int $userId, ?Client $client): void
    {
        if ($call->timeline !== [] || $call->recordings !== []) {
            $this->db->execute(
                'INSERT INTO vtiger_calls_timeline (crmid, steps, recordings) VALUES (?, ?, ?)'
                . ' ON DUPLICATE KEY UPDATE steps = VALUES(steps), recordings = VALUES(recordings)',
                [$crmId, self::json($call->timeline), self::json($call->recordings)]
            );
        }
        $this->ring($crmId, $call, $userId, $client);
    }

    /** @return list<array<string, mixed>> */
    public function timeline(int $crmId): array
    {
        return $this->listOf($crmId, 'steps');
    }

    /** @return list<array<string, mixed>> all recordings of a call, in the connector's order: `id`, `file`, `state`, `started_at` */
    public function recordings(int $crmId): array
    {
        return $this->listOf($crmId, 'recordings');
    }

    /** @return list<array<string, mixed>> */
    private function listOf(int $crmId, string $column): array
    {
        $rows = $this->db->rows("SELECT $column AS list FROM vtiger_calls_timeline WHERE crmid = ?", [$crmId]);
        $list = json_decode((string) ($rows[0]['list'] ?? ''), true);
        return is_array($list) ? array_values(array_filter($list, 'is_array')) : [];
    }

    /** @param list<mixed> $list the column is utf8mb3 */
    private static function json(array $list): string
    {
        $json = (string) json_encode($list, JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE);
        return (string) preg_replace('/[\x{10000}-\x{10FFFF}]/u', "\u{FFFD}", $json);
    }

    /** The client behind the record a click came from: itself, or the Contact or Account of a ticket. */
    public function clientOfRecord(int $crmId): ?Client
    {
        $client = $this->clients->byIds([$crmId])[0] ?? null;
        if ($client !== null && in_array($client->module, ClientFinder::MODULES, true)) {
            return $client;
        }
        $rows = $this->db->rows('SELECT contact_id, parent_id FROM vtiger_troubletickets WHERE ticketid = ?', [$crmId]);
        foreach ([(int) ($rows[0]['contact_id'] ?? 0), (int) ($rows[0]['parent_id'] ?? 0)] as $id) {
            $of = $id > 0 ? ($this->clients->byIds([$id])[0] ?? null) : null;
            if ($of !== null && in_array($of->module, ClientFinder::MODULES, true)) {
                return $of;
            }
        }
        return null;
    }

    /** The ticket a click came from, 0 if it came from elsewhere. */
    public function ticketOfRecord(int $crmId): int
    {
        if ($crmId <= 0) {
            return 0;
        }
        $rows = $this->db->rows(
            'SELECT t.ticketid FROM vtiger_troubletickets t INNER JOIN vtiger_crmentity e ON e.crmid = t.ticketid'
            . ' WHERE t.ticketid = ? AND e.deleted = 0',
            [$crmId]
        );
        return (int) ($rows[0]['ticketid'] ?? 0);
    }

    /** Nobody is rung by it any more. */
    public function silence(int $crmId): void
    {
        // Looked for first: deleting a row that is not there locks the gap, and two senders' gaps make a deadlock.
        if ($this->db->rows('SELECT crmid FROM vtiger_calls_ringing WHERE crmid = ?', [$crmId]) !== []) {
            $this->db->execute('DELETE FROM vtiger_calls_ringing WHERE crmid = ?', [$crmId]);
        }
    }

    /** A call that rings a user now has a row here; a call told of later never had one. */
    private function ring(int $crmId, CallRecord $call, int $userId, ?Client $client): void
    {
        $rings = $call->status === 'ringing' && $call->is('live') && $userId > 0 && !$call->is('click_to_call')
            && $call->direction !== 'outgoing';
        if (!$rings) {
            $this->silence($crmId);
            return;
        }
        $this->db->execute(
            'INSERT INTO vtiger_calls_ringing (crmid, userid, since, number, name, did, client_id, client_module, call_id)'
            . ' VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE userid = VALUES(userid), number = VALUES(number),'
            . ' name = VALUES(name), did = VALUES(did), client_id = VALUES(client_id), client_module = VALUES(client_module),'
            . ' call_id = VALUES(call_id)',
            [
                $crmId, $userId, (int) $this->clock->now(),
                $call->text('client_number') ?: ($call->direction === 'internal' ? $call->text('from') : ''),
                $client === null ? $call->text('client_name') : $client->name,
                $call->text('did'), $client === null ? 0 : $client->crmId, $client === null ? '' : $client->module,
                $call->id,
            ]
        );
    }
}
