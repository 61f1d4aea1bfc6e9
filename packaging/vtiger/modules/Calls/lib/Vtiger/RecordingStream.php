<?php

/** Hands a recording through from the connector: Range in, Range out, nothing kept in memory. Who may hear it was asked before. */

declare(strict_types=1);

namespace PinCalls\Vtiger;

use PinCalls\Click\ConnectorClient;

final class RecordingStream
{
    private const PASSED_ON = [
        'content-type', 'content-length', 'content-range', 'accept-ranges', 'etag', 'last-modified',
    ];
    private const CONNECT_MS = 3000;
    /** A connection that brings less than this for so long is dead. */
    private const SLOW_BYTES = 100;
    private const SLOW_SECONDS = 20;
    private const PIECE_BYTES = 65536;

    private Services $services;

    public function __construct(Services $services)
    {
        $this->services = $services;
    }

    /** @param int $part which of several recordings, from 1; 0 for the one the call's own field names */
    public function send(int $crmId, bool $download, int $part = 0): void
    {
        $rows = $this->services->db->rows(
            'SELECT recording_link, recording_state, call_connector, client_number, call_started FROM vtiger_calls WHERE callsid = ?',
            [$crmId]
        );
        $id = (string) ($rows[0]['recording_link'] ?? '');
        $state = (string) ($rows[0]['recording_state'] ?? '');
        if ($part > 0) {
            $one = $this->services->companions->recordings($crmId)[$part - 1] ?? [];
            $id = is_string($one['id'] ?? null) ? $one['id'] : '';
            $state = (string) ($one['state'] ?? '');
        }
        if ($id === '' || !preg_match('/^[\w.-]{1,100}$/', $id)) {
            $this->refuse(404, 'none');
            return;
        }
        $started = preg_replace('/\D+/', '-', (string) $rows[0]['call_started']);
        $name = $download ? 'call-' . $started . '-' . preg_replace('/[^\d+]/', '', (string) $rows[0]['client_number']) : '';
        $pushed = $this->services->sounds->whole((int) $rows[0]['call_connector'], $id);
        if ($pushed !== null) {
            $this->sendPushed($pushed, $id, $name);
            return;
        }
        if ($state === 'recording') {
            // Half of a sound would be taken for the whole.
            $this->refuse(409, 'recording');
            return;
        }
        if ($state === 'deleted') {
            $this->refuse(410, 'deleted');
            return;
        }
        $connector = $this->services->connectors->byId((int) $rows[0]['call_connector']);
        if ($connector === null || !$connector->enabled || $connector->url === '') {
            $this->refuse(503, 'unreachable');
            return;
        }
        $this->pass($connector, "/recordings/$id", $name);
    }

    /** Says plainly why there is no sound; the player shows it. */
    public function refuse(int $status, string $reason): void
    {
        http_response_code($status);
        header('Content-Type: application/json; charset=UTF-8');
        header('Cache-Control: no-store');
        header("X-Calls-Recording: $reason");
        echo json_encode(['error' => $reason]);
    }

    /**
     * A sound that the connector has brought: as a web server would send it, with one range at most.
     *
     * @param array{path: string, skip: int, size: int, type: string} $sound
     */
    private function sendPushed(array $sound, string $id, string $downloadName): void
    {
        $kept = ['content-type' => $sound['type'], 'accept-ranges' => 'bytes', 'etag' => '"' . $id . '-' . $sound['size'] . '"'];
        [$status, $first, $last] = self::range((string) ($_SERVER['HTTP_RANGE'] ?? ''), $sound['size']);
        if ($status === 416) {
            $kept['content-range'] = 'bytes */' . $sound['size'];
        } elseif ($status === 206) {
            $kept['content-range'] = "bytes $first-$last/" . $sound['size'];
        }
        $left = $status === 416 ? 0 : $last - $first + 1;
        $kept['content-length'] = (string) $left;
        while (ob_get_level() > 0) {
            ob_end_clean();
        }
        $this->begin($status, $kept, $downloadName);
        $file = fopen($sound['path'], 'rb');
        if (($_SERVER['REQUEST_METHOD'] ?? 'GET') === 'HEAD' || $file === false) {
            return;
        }
        set_time_limit(0);
        fseek($file, $sound['skip'] + $first);
        while ($left > 0 && !connection_aborted()) {
            $bytes = (string) fread($file, min(self::PIECE_BYTES, $left));
            if ($bytes === '') {
                break;
            }
            echo $bytes;
            flush();
            $left -= strlen($bytes);
        }
        fclose($file);
    }

    /** @return array{0: int, 1: int, 2: int} status, first and last byte */
    public static function range(string $header, int $size): array
    {
        $all = [200, 0, $size - 1];
        if (!preg_match('/^bytes=(\d{0,18})-(\d{0,18})$/', $header, $part) || $part[1] . $part[2] === '') {
            return $all;
        }
        $first = $part[1] === '' ? max(0, $size - (int) $part[2]) : (int) $part[1];
        $last = $part[1] === '' || $part[2] === '' ? $size - 1 : min((int) $part[2], $size - 1);
        if ($part[1] !== '' && $part[2] !== '' && (int) $part[2] < $first) {
            return $all;
        }
        return $first >= $size || ($part[1] === '' && (int) $part[2] === 0) ? [416, 0, 0] : [206, $first, $last];
    }

    private function pass(\PinCalls\Settings\Connector $connector, string $path, string $downloadName): void
    {
        $head = ($_SERVER['REQUEST_METHOD'] ?? 'GET') === 'HEAD';
        $client = new ConnectorClient($this->services->log, $this->services->clock);
        $headers = $client->headers($connector, $head ? 'HEAD' : 'GET', $path, '');
        $range = (string) ($_SERVER['HTTP_RANGE'] ?? '');
        if (preg_match('/^bytes=\d*-\d*$/', $range)) {
            $headers[] = "Range: $range";
        }
        $status = 0;
        $kept = [];
        $begun = false;
        $begin = function () use (&$begun, &$status, &$kept, $downloadName): bool {
            if (!$begun) {
                $begun = true;
                $this->begin($status, $kept, $downloadName);
            }
            return $status === 200 || $status === 206;
        };
        $handle = curl_init($connector->url . $path);
        curl_setopt_array($handle, [
            CURLOPT_NOBODY => $head,
            CURLOPT_HTTPHEADER => $headers,
            CURLOPT_CONNECTTIMEOUT_MS => self::CONNECT_MS,
            CURLOPT_LOW_SPEED_LIMIT => self::SLOW_BYTES,
            CURLOPT_LOW_SPEED_TIME => self::SLOW_SECONDS,
            CURLOPT_FOLLOWLOCATION => false,
            CURLOPT_PROTOCOLS => CURLPROTO_HTTP | CURLPROTO_HTTPS,
            CURLOPT_HEADERFUNCTION => static function ($handle, string $line) use (&$status, &$kept): int {
                if (preg_match('#^HTTP/\S+ (\d{3})#', $line, $part)) {
                    $status = (int) $part[1];
                    $kept = [];
                } elseif (preg_match('/^([\w-]+):\s*(.*)$/', trim($line), $part)) {
                    $kept[strtolower($part[1])] = $part[2];
                }
                return strlen($line);
            },
            CURLOPT_WRITEFUNCTION => static function ($handle, string $bytes) use ($begin): int {
                if (!$begin()) {
                    return 0;
                }
                echo $bytes;
                flush();
                return connection_aborted() ? 0 : strlen($bytes);
            },
        ]);
        set_time_limit(0);
        while (ob_get_level() > 0) {
            ob_end_clean();
        }
        curl_exec($handle);
        curl_close($handle);
        if (!$begun) {
            $begin();
        }
    }

    /** @param array<string, string> $kept */
    private function begin(int $status, array $kept, string $downloadName): void
    {
        if ($status === 404 || $status === 410) {
            $this->refuse(410, 'deleted');
            return;
        }
        if ($status !== 200 && $status !== 206 && $status !== 416) {
            $this->refuse(503, 'unreachable');
            return;
        }
        http_response_code($status);
        header('Cache-Control: private, max-age=3600');
        header('X-Content-Type-Options: nosniff');
        header_remove('Pragma');
        header_remove('Expires');
        foreach (self::PASSED_ON as $name) {
            if (isset($kept[$name])) {
                header("$name: {$kept[$name]}");
            }
        }
        if ($downloadName !== '') {
            $suffix = strpos($kept['content-type'] ?? '', 'mpeg') !== false ? 'mp3'
                : (strpos($kept['content-type'] ?? '', 'ogg') !== false ? 'ogg' : 'wav');
            header("Content-Disposition: attachment; filename=\"$downloadName.$suffix\"");
        }
    }
}
