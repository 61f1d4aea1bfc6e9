<?php

/** The click-to-calls of the last day and how each goes, for the browser that asked. */

declare(strict_types=1);

namespace PinCalls\Click;

use PinCalls\Clock;
use PinCalls\Db;

class Clicks
{
    /** In which order a request goes on; what comes late never turns it back. */
    private const ORDER = [
        'waiting' => 0, 'queued' => 1, 'agent_ringing' => 2, 'customer_ringing' => 3, 'talking' => 4, 'done' => 9, 'failed' => 9,
    ];

    private Db $db;
    private Clock $clock;

    public function __construct(Db $db, Clock $clock)
    {
        $this->db = $db;
        $this->clock = $clock;
    }

    public function begin(string $request, int $connectorId, int $userId, string $number, string $state): void
    {
        $now = (int) $this->clock->now();
        $this->db->execute(
            'INSERT INTO vtiger_calls_click (request, connector_id, userid, number, state, reason, created_at, updated_at)'
            . " VALUES (?, ?, ?, ?, ?, '', ?, ?)",
            [$request, $connectorId, $userId, mb_substr($number, 0, 64), $state, $now, $now]
        );
    }

    public function goesOn(string $request, int $connectorId, string $state, string $reason): void
    {
        if (!isset(self::ORDER[$state])) {
            return;
        }
        $earlier = array_keys(array_filter(self::ORDER, static function (int $order) use ($state): bool {
            return $order < self::ORDER[$state];
        }));
        if ($earlier === []) {
            return;
        }
        $marks = implode(', ', array_fill(0, count($earlier), '?'));
        $this->db->execute(
            "UPDATE vtiger_calls_click SET state = ?, reason = ?, updated_at = ? WHERE request = ? AND connector_id = ? AND state IN ($marks)",
            array_merge([$state, mb_substr($reason, 0, 200), (int) $this->clock->now(), $request, $connectorId], $earlier)
        );
    }

    /** @return array{connector: int, user: int, number: string, state: string, reason: string, since: int}|null */
    public function of(string $request): ?array
    {
        $rows = $this->db->rows('SELECT * FROM vtiger_calls_click WHERE request = ?', [$request]);
        if ($rows === []) {
            return null;
        }
        return [
            'connector' => (int) $rows[0]['connector_id'], 'user' => (int) $rows[0]['userid'],
            'number' => (string) $rows[0]['number'], 'state' => (string) $rows[0]['state'],
            'reason' => (string) $rows[0]['reason'], 'since' => (int) $rows[0]['created_at'],
        ];
    }

    public function trim(): void
    {
        $this->db->execute(
            'DELETE FROM vtiger_calls_click WHERE created_at < ? LIMIT 5000',
            [(int) $this->clock->now() - 86400]
        );
    }
}
