<?php

/** The answer of live.php. */

declare(strict_types=1);

namespace PinCalls\Status;

use PinCalls\Clock;
use PinCalls\Db;
use PinCalls\Identity\Seats;
use PinCalls\Identity\Whereabouts;
use PinCalls\Settings\Connectors;

final class Live
{
    /** A phone that rings longer than this rings nowhere any more. */
    private const RINGS_SECONDS_AT_MOST = 300;

    private Db $db;
    private Clock $clock;

    public function __construct(Db $db, Clock $clock)
    {
        $this->db = $db;
        $this->clock = $clock;
    }

    /** @param array<string, string> $dbconfig */
    public static function answer(array $dbconfig, string $applicationUniqueKey): void
    {
        header('Content-Type: application/json; charset=UTF-8');
        header('Cache-Control: no-store');
        $clock = new Clock();
        $token = new LiveToken(LiveToken::keyOf($applicationUniqueKey));
        $claims = $token->read((string) ($_SERVER['HTTP_X_CALLS_TOKEN'] ?? ''), (int) $clock->now());
        if ($claims === null) {
            http_response_code(401);
            echo '{"error":"token"}';
            return;
        }
        try {
            $live = new self(MysqliDb::open($dbconfig), $clock);
            $answer = ['ringing' => $live->ringing((int) $claims['user'])];
            if (($_GET['state'] ?? '') === '1') {
                $answer['whereabouts'] = $live->whereabouts((int) $claims['user']);
                $answer['faults'] = $live->faults((array) $claims['connectors'], (string) $claims['pbx']);
            }
            echo json_encode($answer, JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE);
        } catch (\Throwable $fault) {
            http_response_code(503);
            echo '{"error":"database"}';
        }
    }

    /** @return list<array<string, mixed>> */
    public function ringing(int $userId): array
    {
        $now = (int) $this->clock->now();
        $rows = $this->db->rows(
            'SELECT crmid, call_id, since, number, name, did, client_id, client_module FROM vtiger_calls_ringing WHERE userid = ?',
            [$userId]
        );
        $ringing = [];
        foreach ($rows as $row) {
            if ($now - (int) $row['since'] <= self::RINGS_SECONDS_AT_MOST) {
                $ringing[] = [
                    'call' => (int) $row['crmid'], 'id' => (string) $row['call_id'], 'number' => (string) $row['number'],
                    'name' => (string) $row['name'],
                    'did' => (string) $row['did'], 'client' => (int) $row['client_id'],
                    'module' => (string) $row['client_module'],
                ];
            }
        }
        return $ringing;
    }

    public function whereabouts(int $userId): string
    {
        return (new Whereabouts($this->db, new Seats($this->db, $this->clock)))->of($userId);
    }

    /**
     * @param array<int, mixed> $connectorIds
     * @return list<array{connector: string, pbx: string, since: int}>
     */
    public function faults(array $connectorIds, string $pbx): array
    {
        $state = new LinkState(new Connectors($this->db), $this->clock);
        return $state->faults(array_map('intval', array_values($connectorIds)), $pbx);
    }
}
