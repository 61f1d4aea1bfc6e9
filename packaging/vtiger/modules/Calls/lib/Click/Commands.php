<?php

/** What waits for a connector to fetch it: one table, each row given again until its `done`. */

declare(strict_types=1);

namespace PinCalls\Click;

use PinCalls\Clock;
use PinCalls\Db;

class Commands
{
    private const GIVEN_AT_ONCE = 100;

    private Db $db;
    private Clock $clock;

    public function __construct(Db $db, Clock $clock)
    {
        $this->db = $db;
        $this->clock = $clock;
    }

    /**
     * @param array<string, mixed> $payload keys beside `id` and `command`
     * @param int $expiresAt unix seconds, 0: never
     */
    public function give(int $connectorId, string $command, array $payload, int $expiresAt = 0): int
    {
        $this->db->execute(
            'INSERT INTO vtiger_calls_command (connector_id, command, payload, created_at, expires_at, done_at)'
            . ' VALUES (?, ?, ?, ?, ?, 0)',
            [
                $connectorId, $command, (string) json_encode($payload, JSON_UNESCAPED_UNICODE),
                (int) $this->clock->now(), $expiresAt,
            ]
        );
        return $this->db->lastId();
    }

    /** Says `refresh` unless that waits already. */
    public function refresh(int $connectorId, string $what): void
    {
        $payload = (string) json_encode(['what' => $what]);
        $rows = $this->db->rows(
            "SELECT id FROM vtiger_calls_command WHERE connector_id = ? AND done_at = 0 AND command = 'refresh' AND payload = ?",
            [$connectorId, $payload]
        );
        if ($rows === []) {
            $this->give($connectorId, 'refresh', ['what' => $what], (int) $this->clock->now() + 3600);
        }
    }

    /** @return list<array<string, mixed>> as on the wire */
    public function waiting(int $connectorId): array
    {
        $limit = self::GIVEN_AT_ONCE;
        $rows = $this->db->rows(
            'SELECT id, command, payload, expires_at FROM vtiger_calls_command WHERE connector_id = ? AND done_at = 0'
            . " AND (expires_at = 0 OR expires_at > ?) ORDER BY id LIMIT $limit",
            [$connectorId, (int) $this->clock->now()]
        );
        return array_map(static function (array $row): array {
            $command = ['id' => (string) $row['id'], 'command' => (string) $row['command']];
            if ((int) $row['expires_at'] > 0 && $row['command'] === 'call') {
                $command['expires_at'] = Clock::toWire((float) $row['expires_at']);
            }
            return $command + (array) json_decode((string) $row['payload'], true);
        }, $rows);
    }

    /** @return array<string, mixed>|null the command that is done now, with `command` and its payload; null if it was before */
    public function done(int $connectorId, int $id): ?array
    {
        $rows = $this->db->rows(
            'SELECT command, payload FROM vtiger_calls_command WHERE connector_id = ? AND id = ? AND done_at = 0',
            [$connectorId, $id]
        );
        if ($rows === []) {
            return null;
        }
        $sql = 'UPDATE vtiger_calls_command SET done_at = ? WHERE id = ?';
        $this->db->execute($sql, [(int) $this->clock->now(), $id]);
        return ['command' => (string) $rows[0]['command']] + (array) json_decode((string) $rows[0]['payload'], true);
    }

    public function trim(): void
    {
        $dayAgo = (int) $this->clock->now() - 86400;
        $this->db->execute(
            'DELETE FROM vtiger_calls_command WHERE (done_at > 0 AND done_at < ?) OR (expires_at > 0 AND expires_at < ?) LIMIT 5000',
            [$dayAgo, $dayAgo]
        );
    }
}
