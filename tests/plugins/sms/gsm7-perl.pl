# The default alphabet and its extension as perl's Encode has them, which were made from the same
# standard by others. The first argument is gsm7-print.
use strict;
use warnings;
use Encode qw(decode);

if (!eval { require Encode::GSM0338; Encode::GSM0338->VERSION('2.08') }) {
    print "1..0 # SKIP perl's Encode::GSM0338 is missing, or older than its corrections of 2020\n";
    exit;
}

my %ours = map { /^(\S+) (\S+)$/ ? ($1 => $2) : () } split /\n/, `$ARGV[0]`;
my ($same, $extended, @different) = (0, 0);
for my $octet (0 .. 127) {
    for my $octets (chr $octet, "\x1b" . chr $octet) {
        next if substr($octets, -1) eq "\x1b";
        my $theirs = sprintf '%04x', ord decode('gsm0338', $octets);
        next if $theirs eq 'fffd';    # not in the extension: there it gives up
        my $name = unpack 'H*', $octets;
        if   ($ours{$name} eq $theirs) { $same++; $extended++ if length $octets == 2 }
        else                           { push @different, "$name is $ours{$name}, there $theirs" }
    }
}
print "1..2\n";
print @different ? 'not ok' : 'ok', " 1 - every septet is the same character\n";
print $same == 137 && $extended == 10 ? 'ok' : 'not ok', " 2 - all 137 of them were compared\n";
print "# $_\n" for @different, "$same alike, $extended of them in the extension";
