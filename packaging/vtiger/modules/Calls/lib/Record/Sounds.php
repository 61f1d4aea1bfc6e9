<?php

/**
 * Recordings that a connector has pushed, for a vTiger that cannot fetch them. Each is a file of its own in vTiger's storage folder, which many
 * web servers give to anybody who knows a name. So the name cannot be guessed, and the file is a PHP script that says 404 and ends before
 * the sound begins. Who may hear it is asked elsewhere.
 */

declare(strict_types=1);

namespace PinCalls\Record;

use PinCalls\Clock;
use PinCalls\Db;

class Sounds
{
    public const CHUNK_BYTES_MAX = 1048576;
    public const SOUND_BYTES_MAX = 209715200;
    private const GUARD = "<?php http_response_code(404); __halt_compiler();";

    private Db $db;
    private Clock $clock;
    private string $folder;

    /** @param string $folder where the files lie; made when it is not there */
    public function __construct(Db $db, Clock $clock, string $folder)
    {
        $this->db = $db;
        $this->clock = $clock;
        $this->folder = $folder;
    }

    /**
     * Adds a piece where the last one ended; anything else changes nothing. So a piece that comes twice is stored once.
     *
     * @return int how many bytes are here now
     * @throws \RuntimeException if the folder cannot be written
     */
    public function append(int $connectorId, string $id, int $size, string $type, int $offset, string $bytes): int
    {
        $sound = $this->row($connectorId, $id);
        if ($sound === null || $sound['size'] !== $size) {
            if ($sound !== null) {
                // The file has changed since it was begun.
                $this->remove($connectorId, [$id]);
            }
            $sound = $this->begin($connectorId, $id, $size, $type);
        }
        $have = $sound['have'];
        if ($offset !== $have || $bytes === '' || $have + strlen($bytes) > $size) {
            return $have;
        }
        $path = $this->folder . '/' . $sound['file'];
        $file = is_file($path) ? @fopen($path, 'r+b') : false;
        if ($file === false || !flock($file, LOCK_EX)) {
            throw new \RuntimeException('the storage folder cannot be written');
        }
        // What a broken request left behind the last whole piece is written over.
        $whole = fseek($file, strlen(self::GUARD) + $have) === 0 && fwrite($file, $bytes) === strlen($bytes) && fflush($file);
        fclose($file);
        if (!$whole) {
            throw new \RuntimeException('the disk of the storage folder is full');
        }
        $have += strlen($bytes);
        $this->db->execute(
            'UPDATE vtiger_calls_sound SET have = ? WHERE connector_id = ? AND recording_id = ?',
            [$have, $connectorId, $id]
        );
        return $have;
    }

    /** @return array{path: string, skip: int, size: int, type: string}|null a sound that is here as a whole; it begins after `skip` bytes */
    public function whole(int $connectorId, string $id): ?array
    {
        $sound = $this->row($connectorId, $id);
        $path = $sound === null ? '' : $this->folder . '/' . $sound['file'];
        if ($sound === null || $sound['have'] !== $sound['size'] || !is_file($path)) {
            return null;
        }
        return ['path' => $path, 'skip' => strlen(self::GUARD), 'size' => $sound['size'], 'type' => $sound['type']];
    }

    /**
     * @param list<string> $ids
     * @return int how many there were
     */
    public function remove(int $connectorId, array $ids): int
    {
        $removed = 0;
        foreach ($ids as $id) {
            $sound = $this->row($connectorId, $id);
            if ($sound !== null) {
                @unlink($this->folder . '/' . $sound['file']);
                $sql = 'DELETE FROM vtiger_calls_sound WHERE connector_id = ? AND recording_id = ?';
                $this->db->execute($sql, [$connectorId, $id]);
                $removed++;
            }
        }
        return $removed;
    }

    /** All of them, when the module goes with its data. */
    public function removeAll(): void
    {
        foreach ($this->db->rows('SELECT file FROM vtiger_calls_sound') as $row) {
            @unlink($this->folder . '/' . $row['file']);
        }
    }

    /** @return array{file: string, size: int, have: int, type: string} */
    private function begin(int $connectorId, string $id, int $size, string $type): array
    {
        $month = gmdate('Y/m', (int) $this->clock->now());
        $file = $month . '/' . bin2hex(random_bytes(16)) . '.php';
        $folder = $this->folder . '/' . $month;
        if (!is_dir($folder) && !@mkdir($folder, 0750, true) && !is_dir($folder)) {
            throw new \RuntimeException("the folder $month cannot be made in vTiger's storage");
        }
        if (@file_put_contents($this->folder . '/' . $file, self::GUARD) !== strlen(self::GUARD)) {
            throw new \RuntimeException('the storage folder cannot be written');
        }
        $this->db->execute(
            'INSERT INTO vtiger_calls_sound (connector_id, recording_id, file, type, size, have, created_at) VALUES (?, ?, ?, ?, ?, 0, ?)',
            [$connectorId, $id, $file, $type, $size, (int) $this->clock->now()]
        );
        return ['file' => $file, 'size' => $size, 'have' => 0, 'type' => $type];
    }

    /** @return array{file: string, size: int, have: int, type: string}|null */
    private function row(int $connectorId, string $id): ?array
    {
        $rows = $this->db->rows(
            'SELECT file, type, size, have FROM vtiger_calls_sound WHERE connector_id = ? AND recording_id = ?',
            [$connectorId, $id]
        );
        if ($rows === []) {
            return null;
        }
        return [
            'file' => (string) $rows[0]['file'], 'size' => (int) $rows[0]['size'], 'have' => (int) $rows[0]['have'],
            'type' => (string) $rows[0]['type'],
        ];
    }
}
