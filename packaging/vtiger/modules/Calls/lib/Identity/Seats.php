<?php

/**
 * "Extension today": who sits where. One extension of a PBX belongs to one user at a time; what was is kept, because calls that
 * are told of later belong to who sat there then.
 */

declare(strict_types=1);

namespace PinCalls\Identity;

use PinCalls\Clock;
use PinCalls\Db;

class Seats
{
    private Db $db;
    private Clock $clock;

    public function __construct(Db $db, Clock $clock)
    {
        $this->db = $db;
        $this->clock = $clock;
    }

    /** Who sat at the extension at that moment; 0: nobody had taken it for the day. */
    public function userAt(string $pbx, string $extension, float $at): int
    {
        $rows = $this->db->rows(
            "SELECT userid FROM vtiger_calls_seat WHERE extension = ? AND (pbx = ? OR pbx = '')"
            . ' AND since <= ? AND until > ? ORDER BY since DESC, id DESC LIMIT 1',
            [$extension, $pbx, (int) $at, (int) $at]
        );
        return (int) ($rows[0]['userid'] ?? 0);
    }

    /** @return array{pbx: string, extension: string, since: int, until: int}|null where this user sits now */
    public function of(int $userId): ?array
    {
        $now = (int) $this->clock->now();
        $rows = $this->db->rows(
            'SELECT pbx, extension, since, until FROM vtiger_calls_seat WHERE userid = ? AND until > ? ORDER BY id DESC LIMIT 1',
            [$userId, $now]
        );
        if (!isset($rows[0])) {
            return null;
        }
        $row = $rows[0];
        return [
            'pbx' => (string) $row['pbx'], 'extension' => (string) $row['extension'],
            'since' => (int) $row['since'], 'until' => (int) $row['until'],
        ];
    }

    /** @return list<array{userid: int, pbx: string, extension: string, until: int}> */
    public function taken(): array
    {
        $rows = $this->db->rows(
            'SELECT userid, pbx, extension, until FROM vtiger_calls_seat WHERE until > ? ORDER BY id',
            [(int) $this->clock->now()]
        );
        return array_map(static function (array $row): array {
            return [
                'userid' => (int) $row['userid'], 'pbx' => (string) $row['pbx'],
                'extension' => (string) $row['extension'], 'until' => (int) $row['until'],
            ];
        }, $rows);
    }

    /**
     * The user sits there from now on; whoever sat there before does not any more.
     *
     * @return int the user it was taken from, 0 for nobody
     */
    public function take(int $userId, string $pbx, string $extension, int $until): int
    {
        $now = (int) $this->clock->now();
        $before = $this->userAt($pbx, $extension, $now);
        $this->leave($userId);
        $this->db->execute(
            "UPDATE vtiger_calls_seat SET until = ? WHERE extension = ? AND (pbx = ? OR pbx = '' OR ? = '') AND until > ?",
            [$now, $extension, $pbx, $pbx, $now]
        );
        $this->db->execute(
            'INSERT INTO vtiger_calls_seat (userid, pbx, extension, since, until, seen_at) VALUES (?, ?, ?, ?, ?, ?)',
            [$userId, $pbx, $extension, $now, $until, $now]
        );
        return $before === $userId ? 0 : $before;
    }

    /** @return bool whether there was a seat to leave */
    public function leave(int $userId): bool
    {
        $now = (int) $this->clock->now();
        $sql = 'UPDATE vtiger_calls_seat SET until = ? WHERE userid = ? AND until > ?';
        return $this->db->execute($sql, [$now, $userId, $now]) > 0;
    }

    /** A page of this user is open. */
    public function seen(int $userId): void
    {
        $now = (int) $this->clock->now();
        $this->db->execute(
            'UPDATE vtiger_calls_seat SET seen_at = ? WHERE userid = ? AND until > ? AND seen_at < ?',
            [$now, $userId, $now, $now - 60]
        );
    }

    /** @return int how many seats ended because no page of their user was open for so long */
    public function endIdle(int $idleSeconds): int
    {
        $now = (int) $this->clock->now();
        return $this->db->execute(
            'UPDATE vtiger_calls_seat SET until = ? WHERE until > ? AND seen_at < ?',
            [$now, $now, $now - $idleSeconds]
        );
    }

    /** @return int how many seats ended because their user's last act was to log out */
    public function endLoggedOut(): int
    {
        $now = (int) $this->clock->now();
        return $this->db->execute(
            'UPDATE vtiger_calls_seat s INNER JOIN vtiger_users u ON u.id = s.userid'
            . ' INNER JOIN (SELECT user_name, MAX(login_id) AS last_id FROM vtiger_loginhistory GROUP BY user_name) l'
            . ' ON l.user_name = u.user_name INNER JOIN vtiger_loginhistory h ON h.login_id = l.last_id'
            . " SET s.until = ? WHERE s.until > ? AND h.status = 'Signed off'",
            [$now, $now]
        );
    }
}
