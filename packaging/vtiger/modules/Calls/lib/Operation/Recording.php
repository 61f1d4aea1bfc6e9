<?php

/** `recording`: takes the sound of a call piece by piece, from a connector that this vTiger cannot reach. */

declare(strict_types=1);

namespace PinCalls\Operation;

use PinCalls\Record\Claims;
use PinCalls\Record\Sounds;
use PinCalls\Settings\Connector;
use PinCalls\Wire\Refusal;

class Recording
{
    private const TYPES = [
        'audio/wav', 'audio/x-wav', 'audio/mpeg', 'audio/ogg', 'audio/mp4', 'audio/flac', 'audio/x-gsm',
    ];

    private Claims $claims;
    private Sounds $sounds;

    public function __construct(Claims $claims, Sounds $sounds)
    {
        $this->claims = $claims;
        $this->sounds = $sounds;
    }

    /**
     * @param array<string, mixed> $request
     * @return array<string, mixed>
     */
    public function __invoke(array $request, Connector $connector): array
    {
        $call = is_string($request['call'] ?? null) ? $request['call'] : '';
        $id = is_string($request['recording'] ?? null) ? $request['recording'] : '';
        $size = $request['size'] ?? null;
        $offset = $request['offset'] ?? null;
        $bytes = is_string($request['data'] ?? null) ? base64_decode($request['data'], true) : false;
        $type = $request['type'] ?? null;
        if ($call === '' || !preg_match('/^[\w.-]{1,100}$/', $id) || !is_int($size) || $size < 1 || !is_int($offset) || $offset < 0) {
            throw new Refusal(400, 'bad_request', '"call", "recording", "size" and "offset" are needed.');
        }
        if ($bytes === false || strlen($bytes) > Sounds::CHUNK_BYTES_MAX || !in_array($type, self::TYPES, true)) {
            throw new Refusal(400, 'bad_request', '"data" is to be base64 of at most 1 MiB, "type" one of ' . implode(', ', self::TYPES) . '.');
        }
        $claim = $this->claims->of($connector->id, [$call])[$call] ?? null;
        if ($claim === null) {
            return ['result' => 'retry', 'have' => 0, 'reason' => 'the call is not here yet'];
        }
        if ($claim['forgotten'] || $claim['crmid'] === 0) {
            return ['result' => 'rejected', 'have' => 0, 'reason' => 'the call is not here any more'];
        }
        if ($size > Sounds::SOUND_BYTES_MAX) {
            return ['result' => 'rejected', 'have' => 0, 'reason' => 'larger than ' . Sounds::SOUND_BYTES_MAX . ' bytes'];
        }
        $lock = "sound:$id";
        if (!$this->claims->lock($connector->id, $lock)) {
            return ['result' => 'retry', 'have' => 0, 'reason' => 'another request is storing it'];
        }
        try {
            $have = $this->sounds->append($connector->id, $id, $size, $type, $offset, $bytes);
        } catch (\RuntimeException $full) {
            return ['result' => 'retry', 'have' => 0, 'reason' => $full->getMessage()];
        } finally {
            $this->claims->unlock($connector->id, $lock);
        }
        return ['result' => 'saved', 'have' => $have];
    }
}
